//! Inputs to begin with: one for each thing that can happen in a call.

use crate::Seed;

// The actions as `next` reads them; what they need follows. An action of the listener has the highest bit.
const OPEN: u8 = 0;
const FEED: u8 = 2;
const FINISH_INPUT: u8 = 3;
const TAKE: u8 = 4;
const CANCEL: u8 = 6;
const ABANDON: u8 = 7;
const READ_INPUT: u8 = 9;
const CARRY: u8 = 14;
const ALL: u8 = 16;
const WAIT: u8 = 17;
const DRAIN: u8 = 18;
const CORRUPT: u8 = 19;
const INJECT: u8 = 20;
const FRAME: u8 = 21;
const LOSE: u8 = 22;
const LAST: u8 = 23;
const LISTENER: u8 = 0x80;
const LOOK: u8 = LISTENER | 8;
const ANSWER: u8 = LISTENER | 10;
const FINISH: u8 = LISTENER | 12;
const FAIL: u8 = LISTENER | 13;
/// With `ANSWER`: nothing comes after it.
const ENDS: u8 = 0x80;

const UNARY: &[u8] = &[OPEN, 0, 5, ALL, LOOK];
const SERVER: &[u8] = &[OPEN, 1, 5, ALL, LOOK];
const CLIENT: &[u8] = &[OPEN, 2, 5, ALL, LOOK];
const BOTH: &[u8] = &[OPEN, 3, 5, ALL, LOOK];
/// The callee's last item reaches the caller.
const ANSWERED: &[u8] = &[ANSWER, ENDS, 7, ALL, TAKE, 0];
/// 66,000 bytes each way, as far as the limits allow.
const MUCH_IN: &[u8] = &[FEED, 0, 240, ALL, LISTENER | READ_INPUT, 0];
const MUCH_OUT: &[u8] = &[ANSWER, 0, 240, ALL, TAKE, 0];

/// What an input is made of: its name, its limits, and its actions after both sides have said HELLO.
type Made<'a> = (&'a str, u8, &'a [&'a [u8]]);

const HONEST: &[Made<'_>] = &[
    ("unary", 0, &[UNARY, ANSWERED]),
    (
        "server",
        0,
        &[
            SERVER,
            &[ANSWER, 0, 210, ALL, TAKE, 0, FINISH, 0, ALL, TAKE, 0],
        ],
    ),
    (
        "client",
        0,
        &[
            CLIENT,
            &[FEED, 0, 9, FINISH_INPUT, 0, ALL, LISTENER | READ_INPUT, 0],
            ANSWERED,
        ],
    ),
    (
        "bidirectional",
        0,
        &[BOTH, MUCH_IN, MUCH_OUT, &[FINISH_INPUT, 0], ANSWERED],
    ),
    ("failed", 0, &[UNARY, &[FAIL, 0, ALL, TAKE, 0]]),
    (
        "cancelled",
        0,
        &[SERVER, &[ANSWER, 0, 255, ALL, CANCEL, 0, ALL]],
    ),
    ("abandoned", 0, &[BOTH, &[ABANDON, 0, TAKE, 0, ALL]]),
    (
        "timed-out",
        0,
        &[&[OPEN, 0x10, 5, ALL, WAIT, 200, TAKE, 0, LOOK]],
    ),
    ("silence", 0, &[UNARY, &[WAIT, 255, WAIT, 255, WAIT, 255]]),
    (
        "priorities",
        0,
        &[&[
            OPEN, 0x20, 255, OPEN, 0x40, 5, CARRY, 0, 9, CARRY, 0x40, 0, ALL,
        ]],
    ),
    (
        "large",
        0,
        &[&[
            OPEN, 0, 254, ALL, ALL, LOOK, ANSWER, ENDS, 254, ALL, ALL, TAKE, 0,
        ]],
    ),
    // More than the first credit, so that it has to come back.
    (
        "long-in",
        0,
        &[
            BOTH, MUCH_IN, MUCH_IN, MUCH_IN, MUCH_IN, MUCH_IN, MUCH_IN, ANSWERED,
        ],
    ),
    (
        "long-out",
        0,
        &[
            BOTH, MUCH_OUT, MUCH_OUT, MUCH_OUT, MUCH_OUT, MUCH_OUT, MUCH_OUT, ANSWERED,
        ],
    ),
    (
        "goodbye",
        0,
        &[BOTH, &[LISTENER | LAST, 7, ALL, OPEN, 0, 0], ANSWERED],
    ),
    ("refused", 0, &[BOTH, &[LAST, 2, ALL]]),
    ("busy", 0, &[BOTH, &[LISTENER | LAST, 3, ALL]]),
    ("cut", 0, &[BOTH, &[FEED, 0, 255, CARRY, 1, 0, LAST, 0]]),
    ("closed", 0, &[BOTH, &[LAST, 1, ALL]]),
    (
        "other-side",
        2,
        &[&[LISTENER, 0, 5, ALL, 8, 10, ENDS, 7, ALL, LISTENER | TAKE, 0]],
    ),
];

const DISTURBED: &[Made<'_>] = &[
    (
        "corrupt",
        0,
        &[UNARY, &[OPEN, 0, 9, CARRY, 0, 0, CORRUPT, 0, 4, 1, ALL]],
    ),
    ("garbage", 0, &[&[INJECT, 4, 255, 255, 255, 255, ALL]]),
    ("lost", 0, &[UNARY, &[OPEN, 0, 50, LOSE, 20, ALL, ALL]]),
    (
        "frame-call",
        0,
        &[&[FRAME, 2, 1, 9, 1, 5, ALL, LOOK, ANSWER, ENDS, 3]],
    ),
    (
        "frame-items",
        0,
        &[
            BOTH,
            &[
                FRAME,
                3,
                2,
                1,
                0,
                255,
                ALL,
                FRAME,
                3,
                0,
                1,
                0,
                255,
                ALL,
                LISTENER | DRAIN,
            ],
        ],
    ),
    (
        "frame-error",
        0,
        &[BOTH, &[LISTENER | FRAME, 4, 0, 1, 3, 5, ALL, TAKE, 0]],
    ),
    (
        "frame-credit",
        0,
        &[BOTH, &[LISTENER | FRAME, 6, 0, 1, 4, 0, ALL]],
    ),
];

/// The inputs.
pub fn seeds() -> Vec<Seed> {
    let made = |(name, limits, actions): &Made<'_>| {
        let actions = actions.concat();
        ((*name).to_owned(), [&[*limits, ALL], &actions[..]].concat())
    };
    let mut seeds: Vec<Seed> = HONEST.iter().chain(DISTURBED).map(made).collect();
    let pings = [FRAME, 7, 0, 1, 0, 0].repeat(40);
    let opened = [OPEN, 3, 0].repeat(9);
    // 4,000 bytes on each of six calls, again and again: into small buffers here, and to a side that holds little.
    let fed: Vec<u8> = (0..6).flat_map(|call| [FEED, call, 201]).collect();
    let many = [opened.as_slice(), &[ALL, LOOK]].concat();
    for (name, limits, actions) in [
        ("frame-pings", 0, pings),
        (
            "too-many",
            0,
            [many.as_slice(), &[DRAIN, LISTENER | DRAIN]].concat(),
        ),
        (
            "much-waits-here",
            1,
            [many.as_slice(), &fed.repeat(20), &[ALL]].concat(),
        ),
        (
            "much-waits-there",
            4,
            [many.as_slice(), &fed.repeat(2), &[ALL, LISTENER | DRAIN]].concat(),
        ),
    ] {
        seeds.push((
            name.to_owned(),
            [&[limits, ALL], actions.as_slice()].concat(),
        ));
    }
    seeds
}
