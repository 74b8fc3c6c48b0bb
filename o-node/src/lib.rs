//! The concrete node: libp2p transport, gating, discovery and pooling composed behind one handle.
