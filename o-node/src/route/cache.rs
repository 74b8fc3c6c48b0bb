//! What name searches have found, for a while.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use o_address::{Address, PeerId};
use o_core::{Record, Route};

/// Names that were looked for lately: where they were found, and that they were not.
#[derive(Debug)]
pub(crate) struct RouteCache {
    routes: Mutex<HashMap<String, CachedRoute>>,
    absent: Mutex<HashMap<String, Instant>>,
    lifetime: Duration,
    absent_lifetime: Duration,
    limit: usize,
}

/// A route, since when it is known and until when it may be used.
#[derive(Debug)]
struct CachedRoute {
    found: Instant,
    until: Instant,
    route: Route,
}

impl RouteCache {
    pub(crate) fn new(lifetime: Duration, absent_lifetime: Duration, limit: usize) -> Self {
        Self {
            routes: Mutex::default(),
            absent: Mutex::default(),
            lifetime,
            absent_lifetime,
            limit,
        }
    }

    fn absent(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.absent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the name was looked for just now, and nobody has it.
    pub(crate) fn is_absent(&self, address: &Address) -> bool {
        let missed = self.absent().get(address.as_str()).copied();
        missed.is_some_and(|at| at.elapsed() < self.absent_lifetime)
    }

    /// Every source was asked, and nobody has the name.
    pub(crate) fn miss(&self, address: &Address) {
        let mut absent = self.absent();
        if absent.len() >= self.limit {
            absent.retain(|_, at| at.elapsed() < self.absent_lifetime);
            if absent.len() >= self.limit {
                absent.clear();
            }
        }
        absent.insert(address.as_str().to_owned(), Instant::now());
    }

    pub(crate) fn get(&self, address: &Address) -> Option<Route> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let held = routes.get(address.as_str())?;
        let now = Instant::now();
        if now >= held.until {
            routes.remove(address.as_str());
            return None;
        }
        Some(Route {
            age: held.route.age + now.saturating_duration_since(held.found),
            ..held.route.clone()
        })
    }

    /// Only who it is, without a copy of the route.
    pub(crate) fn peer(&self, address: &Address) -> Option<PeerId> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let held = routes.get(address.as_str())?;
        (Instant::now() < held.until).then_some(held.route.peer)
    }

    /// Remembers a route: no longer than the record holds that gives it, where there is one.
    pub(crate) fn put(&self, address: &Address, route: Route, record: Option<&Record>) {
        self.absent().remove(address.as_str());
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if routes.len() >= self.limit {
            // Full: what has expired goes, and if nothing has, everything does; it is only a cache.
            let now = Instant::now();
            routes.retain(|_, held| now < held.until);
            if routes.len() >= self.limit {
                routes.clear();
            }
        }
        let (found, now) = (Instant::now(), SystemTime::now());
        let holds = record.map(|record| record.times.holds_until(now));
        let holds = holds.and_then(|until| until.duration_since(now).ok());
        let lifetime = holds.map_or(self.lifetime, |left| left.min(self.lifetime));
        let held = CachedRoute {
            found,
            until: found + lifetime,
            route,
        };
        routes.insert(address.as_str().to_owned(), held);
    }

    pub(crate) fn forget(&self, address: &Address) {
        self.routes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(address.as_str());
    }
}
