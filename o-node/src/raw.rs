//! Where libp2p shows: for users who bring libp2p transports of their own.

use std::sync::Arc;

use o_transport::Keypair;
pub use o_transport::{BoxedTransport, upgrade};

/// Makes libp2p transports, once for each start of a node.
pub type TransportFactory = Arc<dyn Fn(&Keypair) -> Vec<BoxedTransport> + Send + Sync>;
