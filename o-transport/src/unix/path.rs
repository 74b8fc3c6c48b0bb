//! The path in a `/unix` address: how it is written, and how it is read.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use libp2p::{Multiaddr, multiaddr::Protocol};

/// The longest path in bytes: what every system has room for in a socket address.
pub(crate) const MAX_PATH: usize = 103;

/// The path of an address, which may end in a peer id; `None` if it is not one of a Unix socket.
///
/// # Errors
/// `InvalidInput` for a path that no socket file can have.
pub(crate) fn of(address: &Multiaddr) -> Option<io::Result<PathBuf>> {
    let mut parts = address.iter();
    let Some(Protocol::Unix(text)) = parts.next() else {
        return None;
    };
    match (parts.next(), parts.next()) {
        (None | Some(Protocol::P2p(_)), None) => Some(decode(&text)),
        _ => None,
    }
}

/// The address of a path: one component, its slashes as `%2F`.
pub(crate) fn to_address(path: &Path) -> Multiaddr {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(*byte));
            }
            // Writing to a string cannot fail.
            other => drop(write!(text, "%{other:02X}")),
        }
    }
    Multiaddr::empty().with(Protocol::Unix(text.into()))
}

fn decode(text: &str) -> io::Result<PathBuf> {
    let wrong = |why: &'static str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let Some((digits, others)) = others.split_first_chunk::<2>() else {
            return wrong("after the % in the path of a Unix socket stand two hexadecimal digits");
        };
        let value = |digit: &u8| char::from(*digit).to_digit(16);
        let byte = value(&digits[0]).zip(value(&digits[1]));
        let Some(byte) = byte.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) else {
            return wrong("after the % in the path of a Unix socket stand two hexadecimal digits");
        };
        bytes.push(byte);
        rest = others;
    }
    if bytes.contains(&0) {
        return wrong("the path of a Unix socket has a zero byte in it");
    }
    if bytes.first() != Some(&b'/') {
        bytes.insert(0, b'/');
    }
    if bytes.len() > MAX_PATH {
        return wrong("the path of a Unix socket is longer than 103 bytes");
    }
    if bytes.ends_with(b"/") {
        return wrong("the path of a Unix socket ends in a slash");
    }
    Ok(OsStr::from_bytes(&bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> io::Result<PathBuf> {
        of(&text.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_path_survives_both_ways() {
        for path in ["/tmp/a.sock", "/a b/%2F/ü~", "/tmp/p2p/x"] {
            let address = to_address(Path::new(path));
            assert_eq!(of(&address).unwrap().unwrap(), Path::new(path));
            let text = address.to_string();
            assert_eq!(text.parse::<Multiaddr>().unwrap(), address, "{text}");
        }
        assert_eq!(
            to_address(Path::new("/tmp/a.sock")).to_string(),
            "/unix/%2Ftmp%2Fa.sock"
        );
        assert_eq!(read("/unix/a.sock").unwrap(), Path::new("/a.sock"));
    }

    #[test]
    fn what_no_socket_can_have_is_refused() {
        let long = format!("/unix/{}", "x".repeat(103));
        for text in [
            "/unix/%2",
            "/unix/%zz",
            "/unix/%00x",
            "/unix/%2Fa%2F",
            &long,
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{text}");
        }
        assert!(read(&long[..long.len() - 1]).is_ok());
        assert!(of(&"/memory/1".parse().unwrap()).is_none());
        assert!(of(&"/unix/a/tcp/1".parse().unwrap()).is_none());
    }
}
