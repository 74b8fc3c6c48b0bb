//! A layer between a type and a decoder that evens out both encodings, and notes where a value fails.
//!
//! ciborium alone refuses an integer for a float and text over 4 KiB for some types, and when a type
//! leaves a part of an array or of an enum unread it goes on in the middle of it. serde_json alone
//! does not know byte strings.

mod access;
mod forms;
mod path;

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize,
    de::{
        self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess,
        Visitor,
    },
};

use self::{
    access::{Entries, Items},
    forms::{CborEnum, JsonBytes},
    path::{Path, Step},
};

/// A value that was read through the layer.
pub(super) struct Decoded<T> {
    pub(super) value: T,
}

impl<T: de::DeserializeOwned> Decoded<T> {
    /// Reads a `T` from a decoder that is at hand.
    pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        Self::deserialize(deserializer).map(|decoded| decoded.value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Decoded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = T::deserialize(Adapt::new(deserializer, None))?;
        Ok(Self { value })
    }
}

/// Where reading a `T` failed. It is always read, so that the place gets out of any decoder.
pub(super) struct Trace<T> {
    pub(super) path: String,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Trace<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = Path::default();
        let path = match T::deserialize(Adapt::new(deserializer, Some(&path))) {
            Ok(_) => String::new(),
            Err(_) => path.to_string(),
        };
        let of = PhantomData;
        Ok(Self { path, of })
    }
}

/// A decoder, a visitor, a seed or an access with the layer around it.
struct Adapt<'p, T> {
    inner: T,
    path: Option<&'p Path>,
    /// Whether it reads a map's key, which then becomes the next step of the path.
    key: bool,
}

impl<'p, T> Adapt<'p, T> {
    fn new(inner: T, path: Option<&'p Path>) -> Self {
        let key = false;
        Self { inner, path, key }
    }

    fn wrap<U>(&self, inner: U) -> Adapt<'p, U> {
        let Self { path, key, .. } = *self;
        Adapt { inner, path, key }
    }

    fn note_key(&self, key: &str) {
        if let Some(path) = self.path.filter(|_| self.key) {
            path.push(Step::Key(key.to_owned()));
        }
    }
}

macro_rules! forward_to_decoder {
    ($($method:ident($($argument:ident: $type:ty),*);)+) => {
        $(fn $method<V: Visitor<'de>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.wrap(visitor);
            self.inner.$method($($argument,)* visitor)
        })+
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Adapt<'_, D> {
    type Error = D::Error;

    forward_to_decoder! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_char();
        deserialize_string();
        deserialize_option();
        deserialize_unit();
        deserialize_map();
        deserialize_identifier();
        deserialize_ignored_any();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.wrap(visitor);
        if self.inner.is_human_readable() {
            self.inner.deserialize_f32(visitor)
        } else {
            self.inner.deserialize_any(visitor)
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.wrap(visitor);
        if self.inner.is_human_readable() {
            self.inner.deserialize_f64(visitor)
        } else {
            self.inner.deserialize_any(visitor)
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.wrap(visitor);
        if self.inner.is_human_readable() {
            let as_seq = false;
            self.inner.deserialize_any(JsonBytes { visitor, as_seq })
        } else {
            self.inner.deserialize_byte_buf(visitor)
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let visitor = self.wrap(visitor);
        if self.inner.is_human_readable() {
            let as_seq = true;
            self.inner.deserialize_any(JsonBytes { visitor, as_seq })
        } else {
            self.inner.deserialize_seq(visitor)
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = self.wrap(visitor);
        if self.inner.is_human_readable() {
            self.inner.deserialize_enum(name, variants, visitor)
        } else {
            self.inner.deserialize_any(CborEnum(visitor))
        }
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! forward_to_visitor {
    ($($method:ident($type:ty);)+) => {
        $(fn $method<E: de::Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        })+
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Adapt<'_, V> {
    type Value = V::Value;

    forward_to_visitor! {
        visit_bool(bool);
        visit_i8(i8);
        visit_i16(i16);
        visit_i32(i32);
        visit_i64(i64);
        visit_i128(i128);
        visit_u8(u8);
        visit_u16(u16);
        visit_u32(u32);
        visit_u64(u64);
        visit_u128(u128);
        visit_f32(f32);
        visit_f64(f64);
        visit_char(char);
        visit_bytes(&[u8]);
        visit_borrowed_bytes(&'de [u8]);
        visit_byte_buf(Vec<u8>);
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<V::Value, E> {
        self.note_key(text);
        self.inner.visit_str(text)
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<V::Value, E> {
        self.note_key(text);
        self.inner.visit_borrowed_str(text)
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<V::Value, E> {
        self.note_key(&text);
        self.inner.visit_string(text)
    }

    fn visit_none<E: de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, decoder: D) -> Result<V::Value, D::Error> {
        let decoder = self.wrap(decoder);
        self.inner.visit_some(decoder)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, decoder: D) -> Result<V::Value, D::Error> {
        let decoder = self.wrap(decoder);
        self.inner.visit_newtype_struct(decoder)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let mut items = Items::new(Adapt::new(access, self.path));
        let value = self.inner.visit_seq(&mut items)?;
        items.finish()?;
        Ok(value)
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let mut entries = Entries::new(Adapt::new(access, self.path));
        let value = self.inner.visit_map(&mut entries)?;
        entries.finish()?;
        Ok(value)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let access = self.wrap(access);
        self.inner.visit_enum(access)
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Adapt<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<S::Value, D::Error> {
        let decoder = self.wrap(decoder);
        self.inner.deserialize(decoder)
    }
}

impl<'de, 'p, A: EnumAccess<'de>> EnumAccess<'de> for Adapt<'p, A> {
    type Error = A::Error;
    type Variant = Adapt<'p, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), A::Error> {
        let path = self.path;
        let (value, variant) = self.inner.variant_seed(Adapt::new(seed, path))?;
        Ok((value, Adapt::new(variant, path)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Adapt<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.wrap(seed);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.wrap(visitor);
        self.inner.tuple_variant(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.wrap(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}
