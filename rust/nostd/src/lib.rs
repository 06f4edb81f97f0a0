//! A firmware in miniature: the codec with neither the standard library nor an
//! operating system, with a panic handler and an allocator of its own. It would not
//! link if anything under it brought the standard library's.

#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use xmlsocket_codec::{Config, Decoder};

/// Bytes of memory in all.
const SIZE: usize = 1 << 16;

/// Hands out its memory from the start on, and takes none back.
struct Arena {
    memory: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
}

// SAFETY: each part of the memory is handed out once, by an atomic counter.
unsafe impl Sync for Arena {}

// SAFETY: what is returned lies within the memory, is aligned, and overlaps with
// nothing that was returned before; or it is null.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Room for the worst start, so that alignment needs no second look.
        let room = layout.size() + layout.align();
        let Ok(before) = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(room).filter(|&end| end <= SIZE)
            })
        else {
            return ptr::null_mut();
        };
        // SAFETY: `before` and `room` after it lie within the memory.
        unsafe {
            let start = self.memory.get().cast::<u8>().add(before);
            start.add(start.align_offset(layout.align()))
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ARENA: Arena = Arena {
    memory: UnsafeCell::new([0; SIZE]),
    used: AtomicUsize::new(0),
};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Returns how many bytes the frames of a stream have, fed byte by byte so that the
/// decoder needs memory; or -1 if it ends inside a frame, -2 if a frame has more than
/// 64 bytes.
///
/// # Safety
///
/// `len` bytes can be read at `data`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nostd_payload(data: *const u8, len: usize) -> i64 {
    // SAFETY: as above.
    let stream = unsafe { core::slice::from_raw_parts(data, len) };
    let mut decoder = Decoder::with_config(Config {
        max_size: Some(64),
        ..Config::default()
    });
    let mut payload = 0;
    for byte in stream.chunks(1) {
        if decoder.feed(byte, |frame| payload += frame.len()).is_err() {
            return -2;
        }
    }
    match decoder.finish() {
        Ok(()) => i64::try_from(payload).unwrap_or(i64::MAX),
        Err(_) => -1,
    }
}
