//! The words and flags of `o call`.

use std::{str::FromStr, time::Duration};

use clap::Args;
use o_address::{Address, AddressError};
use o_core::Capability;

use super::NetworkArgs;
use crate::{exit::Failure, values};

/// `o call`.
#[derive(Debug, Args)]
#[command(
    override_usage = "o call [OPTIONS] <ADDRESS> <METHOD> [JSON|-|@FILE]
       o call [OPTIONS] --capability <CAPABILITY> <METHOD> [JSON|-|@FILE]",
    after_help = "Examples:
  o call o://try/echo echo '{\"text\":\"hello\"}'
  o call o://math/adder add '[1,2]' --timeout 2s --json
  o call o://files/reader read @request.json
  cat request.json | o call o://files/reader read -
  o call o://try/echo count '{\"to\":100}' --limit 5
  o call o://try/echo echo --raw @picture.png > same.png
  o call o://try/echo echo 1 --peer /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…
  o call o://try/echo echo 1 --peer /unix/tmp/echo.sock
  o call --capability math/add add '[1,2]' --idempotent --hedge 50ms --explain

Results are written as they come, streams too. A byte string inside JSON is {\"$bytes\":\"<base64>\"},
standard base64 with or without padding; such an object has no other key.
TRACEPARENT in the environment travels with the call."
)]
pub(crate) struct CallArgs {
    /// Whom to call; `#<peer id>` at the end takes only that instance
    #[arg(value_name = "ADDRESS")]
    first: First,
    /// The method's name
    #[arg(value_name = "METHOD", required_unless_present = "capability")]
    #[arg(allow_negative_numbers = true)]
    second: Option<String>,
    /// The parameters: JSON, `-` for standard input, or `@FILE`; `null` if not given
    #[arg(value_name = "JSON|-|@FILE", allow_hyphen_values = true)]
    third: Option<String>,
    /// Call whoever has this capability, instead of an address: METHOD and the parameters follow
    #[arg(
        long,
        value_name = "CAPABILITY",
        help_heading = "By capability",
        conflicts_with = "peer"
    )]
    pub(crate) capability: Option<Capability>,
    /// Call a second provider if the first has not answered after this time; the first answer wins
    #[arg(long, value_name = "TIME", value_parser = values::time, requires = "capability")]
    #[arg(help_heading = "By capability")]
    pub(crate) hedge: Option<Duration>,
    /// The method may run twice: try the next provider also where one has failed half way
    #[arg(long, requires = "capability", help_heading = "By capability")]
    pub(crate) idempotent: bool,
    /// Say on standard error which providers were called, and why
    #[arg(long, requires = "capability", help_heading = "By capability")]
    pub(crate) explain: bool,
    /// How long it may take in all, for example 10s: finding and connecting, the call, and leaving
    /// again; counted from when the parameters have been read. Without it the first answer may take
    /// 30 s, or what O_TIMEOUT says, and a stream may then go on for ever
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub(crate) timeout: Option<Duration>,
    /// End after this many results
    #[arg(long, value_name = "N", value_parser = values::number::<u64>(1.., 10))]
    pub(crate) limit: Option<u64>,
    /// Send the parameters, and write the results, as bytes
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// An address, or what stands there instead where a capability is called.
#[derive(Clone, Debug)]
enum First {
    Address(Address),
    Word(String, AddressError),
}

impl FromStr for First {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(address) => Ok(Self::Address(address)),
            Err(error) if text.contains("://") => Err(error),
            Err(error) => Ok(Self::Word(text.to_owned(), error)),
        }
    }
}

/// Whom a call goes to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Callee {
    /// Whoever answers to it.
    Address(Address),
    /// Whoever has it.
    Capability(Capability),
}

/// What the words of a call mean.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) callee: Callee,
    pub(crate) method: String,
    pub(crate) params: Option<String>,
}

impl CallArgs {
    /// What its words mean.
    ///
    /// # Errors
    /// There are too many, or one is no address.
    pub(crate) fn wanted(&self) -> Result<Wanted, Failure> {
        let Some(capability) = &self.capability else {
            let callee = match &self.first {
                First::Address(address) => Callee::Address(address.clone()),
                First::Word(word, error) => {
                    let message = format!("invalid value '{word}' for '<ADDRESS>': {error}");
                    return Err(Failure::usage(message));
                }
            };
            return Ok(Wanted {
                callee,
                method: self.second.clone().unwrap_or_default(),
                params: self.third.clone(),
            });
        };
        let method = match &self.first {
            First::Word(word, _) => word.clone(),
            First::Address(address) => {
                let failure = Failure::usage(format!("{address} and --capability: one of them"));
                return Err(failure.hint("with --capability, METHOD and the parameters follow"));
            }
        };
        if self.third.is_some() {
            let failure = Failure::usage("too many words for a call with --capability");
            return Err(failure.hint("o call --capability CAPABILITY METHOD [JSON|-|@FILE]"));
        }
        Ok(Wanted {
            callee: Callee::Capability(capability.clone()),
            method,
            params: self.second.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: CallArgs,
        #[arg(long)]
        json: bool,
    }

    fn wanted(words: &str) -> Result<Wanted, String> {
        let words = ["o"].into_iter().chain(words.split(' '));
        let program = Program::try_parse_from(words).map_err(|error| error.to_string())?;
        program.args.wanted().map_err(|failure| failure.message)
    }

    #[test]
    fn the_first_word_is_an_address_or_with_a_capability_the_method() {
        let by_name = wanted("o://a/b add [1,-2] --json").unwrap();
        assert_eq!(by_name.callee, Callee::Address("o://a/b".parse().unwrap()));
        assert_eq!(
            (&*by_name.method, by_name.params.as_deref()),
            ("add", Some("[1,-2]"))
        );
        for words in [
            "--capability math/add add -5",
            "add -5 --capability math/add --explain",
        ] {
            let any = wanted(words).unwrap();
            assert_eq!(any.callee, Callee::Capability("math/add".parse().unwrap()));
            assert_eq!((&*any.method, any.params.as_deref()), ("add", Some("-5")));
        }
        assert_eq!(wanted("--capability math/add add").unwrap().params, None);
    }

    #[test]
    fn what_makes_no_sense_together_is_refused() {
        for words in [
            "math add",
            "o://a",
            "O://A add",
            "--capability math/add o://a add",
            "--capability math/add add 1 2",
            "--capability Math add",
            "o://a add --hedge 1s",
            "o://a add --explain",
            "--capability math/add add --peer /ip4/127.0.0.1/tcp/1",
        ] {
            assert!(wanted(words).is_err(), "{words}");
        }
    }
}
