//! Arrays and maps that are read to their end, with the path to each part.

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess};

use super::{
    Adapt,
    path::{Path, Step},
};

/// The items of an array, which must all be taken.
pub(super) struct Items<'p, A> {
    access: Adapt<'p, A>,
    index: usize,
    ended: bool,
}

impl<'p, A> Items<'p, A> {
    pub(super) fn new(access: Adapt<'p, A>) -> Self {
        let (index, ended) = (0, false);
        Self {
            access,
            index,
            ended,
        }
    }

    pub(super) fn finish<'de>(&mut self) -> Result<(), A::Error>
    where
        A: SeqAccess<'de>,
    {
        if self.ended || self.access.inner.next_element::<IgnoredAny>()?.is_none() {
            return Ok(());
        }
        Err(A::Error::custom(format_args!(
            "more than {} items",
            self.index
        )))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Items<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        if self.ended {
            return Ok(None);
        }
        let path = self.access.path;
        let depth = path.map_or(0, Path::depth);
        if let Some(path) = path {
            path.push(Step::Index(self.index));
        }
        let item = self
            .access
            .inner
            .next_element_seed(Adapt::new(seed, path))?;
        if let Some(path) = path {
            path.truncate(depth);
        }
        self.index = self.index.saturating_add(1);
        self.ended = item.is_none();
        Ok(item)
    }

    fn size_hint(&self) -> Option<usize> {
        self.access.inner.size_hint()
    }
}

/// The entries of a map, which must all be taken.
pub(super) struct Entries<'p, A> {
    access: Adapt<'p, A>,
    depth: usize,
    ended: bool,
}

impl<'p, A> Entries<'p, A> {
    pub(super) fn new(access: Adapt<'p, A>) -> Self {
        let depth = access.path.map_or(0, Path::depth);
        let ended = false;
        Self {
            access,
            depth,
            ended,
        }
    }

    pub(super) fn finish<'de>(&mut self) -> Result<(), A::Error>
    where
        A: MapAccess<'de>,
    {
        if self.ended || self.access.inner.next_key::<IgnoredAny>()?.is_none() {
            return Ok(());
        }
        Err(A::Error::custom("more entries than expected"))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        if self.ended {
            return Ok(None);
        }
        let mut seed = Adapt::new(seed, self.access.path);
        seed.key = true;
        let key = self.access.inner.next_key_seed(seed)?;
        self.ended = key.is_none();
        Ok(key)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let path = self.access.path;
        let value = self.access.inner.next_value_seed(Adapt::new(seed, path))?;
        if let Some(path) = path {
            path.truncate(self.depth);
        }
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        self.access.inner.size_hint()
    }
}
