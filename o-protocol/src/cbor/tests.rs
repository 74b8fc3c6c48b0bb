//! What may arrive, and what comes of it.
