//! From configuration to one boxed libp2p transport; identity and address conversion.
