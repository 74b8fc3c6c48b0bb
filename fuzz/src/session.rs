//! Two call sessions, anything that their owners may do, and a wire that may change what it carries.
//!
//! Whatever happens, nothing panics, every call ends exactly once, every method that was told of a call is told
//! of its end once, and what a session holds stays below its limits. As long as the wire is honest, no side breaks
//! the protocol, items arrive whole and in order, and every call ends without the end of the connection.

mod party;
mod seeds;
mod world;

use o_core::ErrorCode;

pub use self::seeds::seeds;
use self::world::{Action, World};
use crate::input::Input;

/// The most actions of one input, so that a long one takes no longer than others.
const MAX_ACTIONS: usize = 300;

/// The first byte chooses the limits; each action is a byte, whose highest bit says which side acts, and what it
/// needs beside.
///
/// # Panics
/// When something does not hold.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let Some(limits) = input.byte() else {
        return;
    };
    let mut world = World::new(limits);
    for _ in 0..MAX_ACTIONS {
        let Some((who, action)) = next(&mut input) else {
            break;
        };
        world.act(who, action);
    }
    world.finish();
}

fn next<'a>(input: &mut Input<'a>) -> Option<(usize, Action<'a>)> {
    let first = input.byte()?;
    let who = usize::from(first >> 7);
    let action = match (first & 0x7f) % 24 {
        0 | 1 => Action::Open {
            terms: input.byte()?,
            length: length(input)?,
        },
        2 => Action::Feed {
            choice: input.byte()?,
            length: length(input)?,
        },
        3 => Action::FinishInput(input.byte()?),
        4 | 5 => Action::Take(input.byte()?),
        6 => Action::Cancel(input.byte()?),
        7 => Action::Abandon(input.byte()?),
        8 => Action::Look,
        9 => Action::ReadInput(input.byte()?),
        10 | 11 => Action::Answer {
            choice: input.byte()?,
            length: length(input)?,
        },
        12 => Action::FinishAnswer(input.byte()?),
        13 => Action::Fail(input.byte()?),
        14 | 15 => Action::Carry(usize::from(input.word()?) * 3),
        16 => Action::CarryAll,
        17 => Action::Wait(input.byte()?),
        18 => Action::Drain,
        19 => Action::Corrupt {
            offset: input.word()?,
            mask: input.byte()?,
        },
        20 => {
            let length = usize::from(input.byte()?);
            Action::Inject(input.bytes(length))
        }
        21 => Action::Frame {
            kind: input.byte()?,
            flags: input.byte()?,
            id: input.byte()?,
            header: input.byte()?,
            length: length(input)?,
        },
        22 => Action::Lose(input.byte()?),
        _ => last(input.byte()?),
    };
    Some((who, action))
}

/// Actions that end things, of which a single one is enough.
fn last<'a>(choice: u8) -> Action<'a> {
    match choice % 8 {
        0 => Action::Cut,
        1 => Action::Close,
        2 => Action::Goodbye(ErrorCode::Refused),
        3 => Action::Goodbye(ErrorCode::Busy),
        4 => Action::Goodbye(ErrorCode::Internal),
        _ => Action::Goodbye(ErrorCode::ShuttingDown),
    }
}

/// Mostly small lengths; the others reach past every limit.
fn length(input: &mut Input<'_>) -> Option<usize> {
    let length = usize::from(input.byte()?);
    Some(match length {
        0..=199 => length,
        200..=229 => (length - 199) * 2_000,
        _ => (length - 229) * 6_000,
    })
}
