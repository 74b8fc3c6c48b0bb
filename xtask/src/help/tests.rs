//! The list, the parser and the steps of `ci` agree.

use super::*;
use crate::{ci, flags};

#[test]
fn every_listed_command_is_parsed() {
    for command in COMMANDS {
        let parsed = flags::Xtask::from_vec(vec![command.name.into()]);
        assert!(parsed.is_ok(), "{}: {parsed:?}", command.name);
    }
    assert!(flags::Xtask::from_vec(vec!["nonsense".into()]).is_err());
}

#[test]
fn the_marked_commands_are_the_steps_of_ci_in_order() {
    let marked: Vec<_> = COMMANDS
        .iter()
        .filter(|command| command.state == State::Ci)
        .map(|command| command.name)
        .collect();
    let steps: Vec<_> = ci::STEPS.iter().map(|step| step.name).collect();
    assert_eq!(marked, steps);
}
