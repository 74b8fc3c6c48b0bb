//! Where in a value a decoder is.

use std::{cell::RefCell, fmt};

/// The way from the top of a value to the part that is being read. It keeps its end on failure.
#[derive(Default)]
pub(super) struct Path(RefCell<Vec<Step>>);

pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    pub(super) fn depth(&self) -> usize {
        self.0.borrow().len()
    }

    pub(super) fn push(&self, step: Step) {
        self.0.borrow_mut().push(step);
    }

    pub(super) fn truncate(&self, depth: usize) {
        self.0.borrow_mut().truncate(depth);
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.borrow().iter().enumerate() {
            match step {
                Step::Key(key) if at == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
