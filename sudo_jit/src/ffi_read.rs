//! Reads what sudo hands over: C strings and vectors, any pointer may be NULL, all lengths capped.

#![allow(unsafe_code, reason = "the C edge")]

use crate::ffi::Vector;
use core::ffi::c_char;

/// Most entries read from one vector. Linux gives a command some MiB in all, pointers included; what the agent
/// can be told is less.
const MAX_ENTRIES: usize = 500_000;
/// Most bytes read from one vector, and so from one string.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// sudo handed over more than [`MAX_ENTRIES`] or [`MAX_BYTES`].
#[derive(Debug, PartialEq, Eq)]
pub struct TooLarge;

/// The bytes of a C string without its NUL; NULL and strings over the cap are `None`.
///
/// # Safety
/// `p` is NULL or points to a NUL-terminated string that outlives `'a` unchanged.
pub unsafe fn string<'a>(p: *const c_char) -> Option<&'a [u8]> {
    if p.is_null() {
        return None;
    }
    // SAFETY: not NULL, NUL-terminated by the caller's promise; no byte behind the NUL is read.
    let len = unsafe { libc::strnlen(p, MAX_BYTES + 1) };
    if len > MAX_BYTES {
        return None;
    }
    // SAFETY: strnlen saw `len` readable bytes, which live for 'a by the caller's promise.
    Some(unsafe { core::slice::from_raw_parts(p.cast::<u8>(), len) })
}

/// The strings of a vector; a NULL vector is empty.
///
/// # Errors
/// [`TooLarge`] over either cap.
///
/// # Safety
/// `v` is NULL or points to a NULL-terminated array of strings as in [`string`].
pub unsafe fn vector<'a>(v: Vector) -> Result<Vec<&'a [u8]>, TooLarge> {
    let mut all = Vec::new();
    if v.is_null() {
        return Ok(all);
    }
    let mut bytes = 0;
    for i in 0..=MAX_ENTRIES {
        // SAFETY: every entry before this one was not NULL, so the array reaches to here.
        let entry = unsafe { *v.add(i) };
        if entry.is_null() {
            return Ok(all);
        }
        // SAFETY: the entry is a string by the caller's promise.
        let text = unsafe { string(entry) }.ok_or(TooLarge)?;
        bytes += text.len();
        if bytes > MAX_BYTES {
            return Err(TooLarge);
        }
        all.push(text);
    }
    Err(TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr;

    #[test]
    fn null_is_nothing_and_an_empty_string_is_empty() {
        // SAFETY: NULL and literals.
        unsafe {
            assert_eq!(string(ptr::null()), None);
            assert_eq!(string(c"".as_ptr()), Some(&b""[..]));
            assert_eq!(vector(ptr::null()), Ok(vec![]));
            assert_eq!(vector([ptr::null()].as_ptr()), Ok(vec![]));
        }
    }

    #[test]
    fn any_bytes_come_through() {
        let v = [c"a=1".as_ptr(), c"\xff\n".as_ptr(), ptr::null()];
        // SAFETY: NULL-terminated, of literals.
        let read = unsafe { vector(v.as_ptr()) };
        assert_eq!(read, Ok(vec![&b"a=1"[..], &b"\xff\n"[..]]));
    }

    #[test]
    fn too_many_entries_and_too_many_bytes_are_refused() {
        let mut many = vec![c"x".as_ptr(); MAX_ENTRIES + 1];
        many.push(ptr::null());
        // SAFETY: NULL-terminated, of literals.
        assert_eq!(unsafe { vector(many.as_ptr()) }, Err(TooLarge));

        let long = std::ffi::CString::new(vec![b'x'; MAX_BYTES / 2 + 1]).unwrap();
        let v = [long.as_ptr(), long.as_ptr(), ptr::null()];
        // SAFETY: NULL-terminated; `long` outlives the call.
        assert_eq!(unsafe { vector(v.as_ptr()) }, Err(TooLarge));
        let longer = std::ffi::CString::new(vec![b'x'; MAX_BYTES + 1]).unwrap();
        // SAFETY: `longer` outlives the call.
        assert_eq!(unsafe { string(longer.as_ptr()) }, None);
    }
}
