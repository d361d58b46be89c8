//! The library in the place of the system's allocator: real programs say the same as without, and
//! each function does what its manual says.
#![cfg(target_os = "linux")]

mod common;

use common::{library, run, same_with_and_without};
use std::ffi::{CString, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr::null_mut;

fn lines() -> Vec<u8> {
    let mut state = 1u64;
    let line = |n: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(n);
        format!("{:x} {n}\n", state >> 20)
    };
    (0..100_000).map(line).collect::<String>().into_bytes()
}

#[test]
fn the_library_is_there_when_it_is_asked_for() {
    for (mode, is_there) in [(None, false), (Some("plain"), true)] {
        let maps = run("cat", &["/proc/self/maps"], b"", mode).unwrap();
        let text = String::from_utf8(maps.stdout).unwrap();
        assert_eq!(text.contains("libheapwright_malloc.so"), is_there);
    }
}

#[test]
fn sort_sorts() {
    same_with_and_without("sort", &["--parallel=4", "-S", "3M"], &lines());
}

#[test]
fn python_computes() {
    let program = r#"
import collections, json, re, sys, threading
words = re.findall(r"[0-9a-f]+", sys.stdin.read())
counts = collections.Counter(word[:2] for word in words)
parts = [None] * 8
def work(n):
    rows = [{"n": i, "text": str(i) * (i % 40)} for i in range(n * 500)]
    parts[n] = len(json.dumps(json.loads(json.dumps(rows))))
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(sorted(counts.items())[:50], parts, len(b"x" * 50_000_000))
"#;
    // Its own allocator would keep most requests from ours.
    same_with_and_without(
        "env",
        &["PYTHONMALLOC=malloc", "python3", "-c", program],
        &lines(),
    );
}

#[test]
fn python_forks() {
    let program = r#"
import multiprocessing, threading
def work(n):
    return sum(len(str(i) * 3) for i in range(n))
if __name__ == "__main__":
    noise = threading.Thread(target=work, args=(200_000,))
    noise.start()
    with multiprocessing.get_context("fork").Pool(4) as pool:
        print(pool.map(work, range(0, 20_000, 1000)))
    noise.join()
"#;
    same_with_and_without(
        "env",
        &["PYTHONMALLOC=malloc", "python3", "-c", program],
        b"",
    );
}

#[test]
fn git_hashes_and_compares() {
    same_with_and_without("git", &["hash-object", "--stdin"], &lines());
    same_with_and_without(
        "git",
        &["grep", "--no-index", "-c", "malloc", "--", "src"],
        b"",
    );
}

/// The functions of the library, loaded beside the system's.
struct Functions(*mut c_void);

impl Functions {
    fn load() -> Self {
        let path = CString::new(library().as_os_str().as_bytes()).unwrap();
        // SAFETY: a library whose initialization does nothing.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null());
        Self(handle)
    }

    fn symbol(&self, name: &str) -> *mut c_void {
        let c_name = CString::new(name).unwrap();
        // SAFETY: a handle of a library that is loaded, and a name that ends in zero.
        let symbol = unsafe { libc::dlsym(self.0, c_name.as_ptr()) };
        assert!(!symbol.is_null(), "there is no {name}");
        symbol
    }
}

macro_rules! function {
    ($functions:expr, $name:expr, $type:ty) => {
        // SAFETY: the library defines the function with this signature.
        unsafe { std::mem::transmute::<*mut c_void, $type>($functions.symbol($name)) }
    };
}

type One = unsafe extern "C" fn(usize) -> *mut c_void;
type Two = unsafe extern "C" fn(usize, usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void);
type Usable = unsafe extern "C" fn(*mut c_void) -> usize;
type Resize = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type Place = unsafe extern "C" fn(*mut *mut c_void, usize, usize) -> c_int;

impl Functions {
    fn malloc(&self, bytes: usize) -> *mut c_void {
        let function = function!(self, "malloc", One);
        // SAFETY: any size may be asked for.
        unsafe { function(bytes) }
    }

    /// `calloc`, `aligned_alloc` or `memalign`.
    fn take(&self, name: &str, first: usize, second: usize) -> *mut c_void {
        let function = function!(self, name, Two);
        // SAFETY: as above.
        unsafe { function(first, second) }
    }

    fn free(&self, object: *mut c_void) {
        let function = function!(self, "free", Free);
        // SAFETY: the test frees each object once.
        unsafe { function(object) }
    }

    fn usable(&self, object: *mut c_void) -> usize {
        let function = function!(self, "malloc_usable_size", Usable);
        // SAFETY: the test asks about objects in use.
        unsafe { function(object) }
    }

    fn realloc(&self, object: *mut c_void, bytes: usize) -> *mut c_void {
        let function = function!(self, "realloc", Resize);
        // SAFETY: the test goes on with what this returns.
        unsafe { function(object, bytes) }
    }

    fn posix_memalign(&self, object: &mut *mut c_void, align: usize, bytes: usize) -> c_int {
        let function = function!(self, "posix_memalign", Place);
        // SAFETY: the place may be written to.
        unsafe { function(object, align, bytes) }
    }
}

/// The first bytes of an object that the test has allocated with as many, and initialized.
fn content<'a>(object: *mut c_void, bytes: usize) -> &'a mut [u8] {
    // SAFETY: as said, and the test has one such slice at a time.
    unsafe { std::slice::from_raw_parts_mut(object.cast(), bytes) }
}

fn error() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap()
}

#[test]
fn objects_of_all_sizes_are_resized_and_freed() {
    let all = Functions::load();
    let (empty, other) = (all.malloc(0), all.malloc(0));
    assert!(!empty.is_null() && empty != other);
    for object in [empty, other, null_mut()] {
        all.free(object);
    }
    assert_eq!(all.usable(null_mut()), 0);
    for bytes in [1, 16, 17, 5000, 32_768, 32_769, 1 << 20] {
        let object = all.take("calloc", bytes, 1);
        assert!(all.usable(object) >= bytes && object.addr().is_multiple_of(16));
        assert!(content(object, bytes).iter().all(|byte| *byte == 0));
        content(object, bytes).fill(3);
        let moved = all.realloc(object, bytes * 2);
        assert!(content(moved, bytes).iter().all(|byte| *byte == 3));
        assert!(all.realloc(moved, usize::MAX).is_null());
        let kept = content(moved, bytes);
        assert!(
            kept.iter().all(|byte| *byte == 3),
            "a failure leaves it alone"
        );
        assert!(all.realloc(moved, 0).is_null());
    }
}

#[test]
fn alignments_are_kept() {
    let all = Functions::load();
    for (name, shift) in ["aligned_alloc", "memalign"]
        .into_iter()
        .flat_map(|name| (0..22).map(move |shift| (name, shift)))
    {
        let object = all.take(name, 1 << shift, 100);
        assert!(object.addr().is_multiple_of(1 << shift) && all.usable(object) >= 100);
        content(object, 100).fill(5);
        let moved = all.realloc(object, 70_000);
        assert!(all.usable(moved) >= 70_000);
        assert!(content(moved, 100).iter().all(|byte| *byte == 5));
        all.free(moved);
    }
    let mut object = null_mut();
    assert_eq!(all.posix_memalign(&mut object, 4096, 8), 0);
    assert!(object.addr().is_multiple_of(4096));
    all.free(object);
}

#[test]
fn what_cannot_be_had_has_a_number() {
    let all = Functions::load();
    assert!(all.malloc(usize::MAX).is_null());
    assert_eq!(error(), libc::ENOMEM);
    assert!(all.malloc(1 << 46).is_null());
    assert_eq!(error(), libc::ENOMEM);
    assert!(all.take("calloc", usize::MAX / 2, 3).is_null());
    assert_eq!(error(), libc::ENOMEM);
    assert!(all.take("aligned_alloc", 48, 100).is_null());
    assert_eq!(error(), libc::EINVAL);
    let mut object = null_mut();
    assert_eq!(all.posix_memalign(&mut object, 4, 8), libc::EINVAL);
    assert_eq!(
        all.posix_memalign(&mut object, 64, usize::MAX),
        libc::ENOMEM
    );
    assert!(object.is_null());
}
