//! Substreams over one byte stream, with libp2p's wrapper of yamux.

use libp2p::yamux;

use crate::YamuxConfig;

/// The multiplexer of one connection. The number of substreams is all that the wrapper lets us set,
/// and it must have been validated: the wrapper panics above 4096.
pub(crate) fn build(config: &YamuxConfig) -> yamux::Config {
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(config.max_streams);
    yamux
}
