//! Types that hold no reference into a heap: scalars, text, times, addresses, functions.

use std::any::TypeId;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::hash::BuildHasherDefault;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZero;
use std::ops::RangeFull;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::noscan;

noscan! {
    [] (); [] bool; [] char; [] f32; [] f64;
    [] i8; [] i16; [] i32; [] i64; [] i128; [] isize;
    [] u8; [] u16; [] u32; [] u64; [] u128; [] usize;
    [] NonZero<i8>; [] NonZero<i16>; [] NonZero<i32>; [] NonZero<i64>; [] NonZero<i128>;
    [] NonZero<isize>;
    [] NonZero<u8>; [] NonZero<u16>; [] NonZero<u32>; [] NonZero<u64>; [] NonZero<u128>;
    [] NonZero<usize>;
    [] str; [] String; [] CStr; [] CString; [] OsStr; [] OsString; [] Path; [] PathBuf;
    [] Duration; [] Instant; [] SystemTime;
    [] Ordering; [] Infallible; [] RangeFull; [] TypeId; [] RandomState;
    [H: 'static] BuildHasherDefault<H>;
    [] IpAddr; [] Ipv4Addr; [] Ipv6Addr; [] SocketAddr; [] SocketAddrV4; [] SocketAddrV6;
    [T: ?Sized + 'static] &'static T;
    [T: ToOwned + ?Sized + 'static] Cow<'static, T>;
}

// A function pointer captures nothing. One with a borrowed argument, `fn(&str)`, is a type of its
// own that no impl here reaches: skip it.
noscan! {
    [R: 'static] fn() -> R;
    [A: 'static, R: 'static] fn(A) -> R;
    [A: 'static, B: 'static, R: 'static] fn(A, B) -> R;
    [A: 'static, B: 'static, C: 'static, R: 'static] fn(A, B, C) -> R;
    [A: 'static, B: 'static, C: 'static, D: 'static, R: 'static] fn(A, B, C, D) -> R;
}
