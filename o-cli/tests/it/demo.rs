//! `o demo`: processes that find each other, work on real files, and leave nothing behind.
