//! Defaults, bounds and the text form of the configuration.

use super::*;

fn invalid(change: impl FnOnce(&mut TransportConfig)) -> (&'static str, String) {
    let mut config = TransportConfig::default();
    change(&mut config);
    match config.validate() {
        Err(BuildError::Invalid { field, reason }) => (field, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn default_turns_nothing_on_and_is_valid() {
    let config = TransportConfig::default();
    config.validate().unwrap();
    assert!(!config.tcp.enabled && !config.quic.enabled && !config.websocket.enabled);
    assert!(!config.memory.enabled && !config.dns.enabled);
    assert_eq!(config.security, [Security::Noise]);
}

#[test]
fn a_config_without_fields_is_the_default() {
    let config: TransportConfig = serde_json::from_str("{}").unwrap();
    assert_eq!(config, TransportConfig::default());
}

#[test]
fn config_survives_being_written_and_read() {
    let mut config = TransportConfig::default();
    config.quic.enabled = true;
    config.quic.keep_alive = Duration::from_millis(1500);
    config.security = vec![Security::Tls, Security::Noise];
    config.connect_timeout = Duration::from_secs(90);
    let text = serde_json::to_string(&config).unwrap();
    assert!(text.contains(r#""security":["tls","noise"]"#), "{text}");
    assert!(text.contains(r#""connect_timeout":"1m 30s""#), "{text}");
    assert_eq!(
        serde_json::from_str::<TransportConfig>(&text).unwrap(),
        config
    );
}

#[test]
fn unknown_fields_are_refused() {
    let error = serde_json::from_str::<TransportConfig>(r#"{"tcp":{"enable":true}}"#).unwrap_err();
    assert!(error.to_string().contains("enable"), "{error}");
}

#[test]
fn values_out_of_bounds_are_named() {
    let (field, reason) = invalid(|config| config.yamux.max_streams = 4097);
    assert_eq!(field, "yamux.max_streams");
    assert_eq!(reason, "4097 is not within 64 to 1024");
    let (field, _) = invalid(|config| config.yamux.max_streams = 0);
    assert_eq!(field, "yamux.max_streams");
    let (field, reason) = invalid(|config| config.yamux.max_streams = 256);
    assert_eq!(field, "yamux.receive_window");
    assert_eq!(reason, "50331648 is not within 67108864 to 1073741824");
    let (field, _) = invalid(|config| config.yamux.receive_window = (32 << 20) - 1);
    assert_eq!(field, "yamux.receive_window");
    let (field, _) = invalid(|config| config.yamux.receive_window = (1 << 30) + 1);
    assert_eq!(field, "yamux.receive_window");
    let (field, _) = invalid(|config| config.yamux.split_send_size = 1023);
    assert_eq!(field, "yamux.split_send_size");
    let (field, _) = invalid(|config| config.yamux.split_send_size = (256 << 10) + 1);
    assert_eq!(field, "yamux.split_send_size");
    let (field, _) = invalid(|config| config.loopback_timeout = Duration::from_millis(99));
    assert_eq!(field, "loopback_timeout");
    let (field, _) = invalid(|config| config.lan_timeout = Duration::from_secs(601));
    assert_eq!(field, "lan_timeout");
    let (field, reason) = invalid(|config| config.connect_timeout = Duration::ZERO);
    assert_eq!(field, "connect_timeout");
    assert_eq!(reason, "0ns is not within 100ms to 600s");
    let (field, _) = invalid(|config| config.websocket.max_frame = 256 << 20);
    assert_eq!(field, "websocket.max_frame");
    let (field, _) = invalid(|config| config.quic.keep_alive = config.quic.idle_timeout);
    assert_eq!(field, "quic.keep_alive");
    let (field, _) = invalid(|config| config.quic.connection_window = 1 << 20);
    assert_eq!(field, "quic.connection_window");
    let (field, _) = invalid(|config| config.quic.idle_timeout = Duration::ZERO);
    assert_eq!(field, "quic.idle_timeout");
}

#[test]
fn security_must_be_there_and_once() {
    let (field, reason) = invalid(|config| config.security = vec![Security::Tls, Security::Tls]);
    assert_eq!(
        (field, reason.as_str()),
        ("security", "Tls stands there twice")
    );
    let (field, _) = invalid(|config| {
        config.tcp.enabled = true;
        config.security.clear();
    });
    assert_eq!(field, "security");

    let mut quic_only = TransportConfig::default();
    quic_only.quic.enabled = true;
    quic_only.security.clear();
    quic_only.validate().unwrap();
}

#[test]
fn every_yamux_that_is_valid_can_be_made() {
    for (max_streams, receive_window) in [
        (64, 16 << 20),
        (128, 32 << 20),
        (128, 48 << 20),
        (1024, 256 << 20),
        (1024, 1 << 30),
    ] {
        let mut config = TransportConfig::default();
        config.yamux.max_streams = max_streams;
        config.yamux.receive_window = receive_window;
        config.yamux.split_send_size = 1 << 10;
        config.validate().unwrap();
        // It panics on what does not fit.
        crate::muxer::Yamux::new(&config.yamux);
    }
}

#[test]
fn yamux_is_written_in_bytes() {
    let text = r#"{"yamux":{"max_streams":64,"receive_window":16777216,"split_send_size":65536}}"#;
    let config: TransportConfig = serde_json::from_str(text).unwrap();
    config.validate().unwrap();
    assert_eq!(config.yamux.receive_window, 16 << 20);
    assert_eq!(config.yamux.split_send_size, 64 << 10);
}
