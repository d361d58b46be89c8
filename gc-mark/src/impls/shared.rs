//! Types that threads share: std's own, whatever `crate::sync` is, because these are what a user's
//! types contain. None may hold a reference into a heap: the parameters are `'static`.

use std::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16,
    AtomicU32, AtomicU64, AtomicUsize,
};
use std::sync::{Arc, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock};
use std::thread::ThreadId;

use super::noscan;

noscan! {
    [] AtomicBool;
    [] AtomicI8; [] AtomicI16; [] AtomicI32; [] AtomicI64; [] AtomicIsize;
    [] AtomicU8; [] AtomicU16; [] AtomicU32; [] AtomicU64; [] AtomicUsize;
    [] Condvar; [] Once; [] ThreadId;
    [T: ?Sized + 'static] Arc<T>;
    [T: ?Sized + 'static] Mutex<T>;
    [T: ?Sized + 'static] RwLock<T>;
    [T: 'static] OnceLock<T>;
    [T: 'static, F: 'static] LazyLock<T, F>;
}
