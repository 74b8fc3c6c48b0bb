//! Locks that a panic elsewhere does not take away from us.
//!
//! Nothing that runs under them leaves its data half-changed, so data behind a poisoned lock is
//! sound; and a gater that panics would take the whole swarm along.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub(crate) fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
