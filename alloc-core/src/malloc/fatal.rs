//! The end: a heap that was misused, or is corrupt, stops the program and says why.
//!
//! Not a panic: unwinding out of an allocator is not defined, and a panic's message is allocated.
//! The line is put together on the stack and written to the standard error by a system call.

use std::fmt;

/// A line that is cut off where it gets too long.
#[cfg(all(unix, not(heapwright_loom)))]
struct Line {
    bytes: [u8; 320],
    used: usize,
}

#[cfg(all(unix, not(heapwright_loom)))]
impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.used..];
        let fits = text.len().min(room.len());
        room[..fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.used += fits;
        Ok(())
    }
}

/// Stops the program: `what` was done with the memory at `address`, and `advice` says more.
#[cold]
#[inline(never)]
pub(crate) fn misuse(what: &str, address: usize, advice: fmt::Arguments<'_>) -> ! {
    stop(format_args!(
        "heapwright: {what} at {address:#x}: {advice}\n"
    ))
}

/// Stops the program, which failed in a way that its memory cannot be trusted after.
#[cfg(all(unix, not(heapwright_loom)))]
#[cold]
#[inline(never)]
pub(crate) fn stop(message: fmt::Arguments<'_>) -> ! {
    let mut line = Line {
        bytes: [0; 320],
        used: 0,
    };
    // Writing to the line cannot fail.
    let _ = fmt::Write::write_fmt(&mut line, message);
    // SAFETY: the buffer is valid for as many bytes as are used.
    unsafe { libc::write(2, line.bytes.as_ptr().cast(), line.used) };
    // SAFETY: always allowed.
    unsafe { libc::abort() }
}

/// As above, where there is no such system call.
#[cfg(not(unix))]
#[cold]
#[inline(never)]
pub(crate) fn stop(message: fmt::Arguments<'_>) -> ! {
    eprint!("{message}");
    std::process::abort()
}

/// Under the model checker a failure is a panic, or it would not be reported.
#[cfg(all(unix, heapwright_loom))]
pub(crate) fn stop(message: fmt::Arguments<'_>) -> ! {
    panic!("{message}")
}
