//! The numbers and names of errors. They are an interface: never reused, only added to.

use std::fmt;

macro_rules! error_codes {
    ($(($number:literal, $variant:ident, $name:literal),)+) => {
        /// A stable number and name for each way in which a call can fail.
        ///
        /// docs/wire.md lists them with their meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = concat!("`", $name, "`, number ", $number, ".")] $variant = $number,)+
        }

        impl ErrorCode {
            /// Every code, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code with this number, if this version knows it.
            pub fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// Its name in JSON output and logs.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

error_codes! {
    (1, Internal, "internal"),
    (2, BadAddress, "bad_address"),
    (3, NotFound, "not_found"),
    (4, Unreachable, "unreachable"),
    (5, Refused, "refused"),
    (6, TimedOut, "timed_out"),
    (7, Failed, "failed"),
    (8, Busy, "busy"),
    (9, Cancelled, "cancelled"),
    (10, ConnectionLost, "connection_lost"),
    (11, UnknownMethod, "unknown_method"),
    (12, InvalidParams, "invalid_params"),
    (13, InvalidReply, "invalid_reply"),
    (14, TooLarge, "too_large"),
    (15, Unsupported, "unsupported"),
    (16, Protocol, "protocol"),
    (17, ShuttingDown, "shutting_down"),
    (18, WrongShape, "wrong_shape"),
    (19, NoProviders, "no_providers"),
}

impl ErrorCode {
    /// The number that stands for it on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
