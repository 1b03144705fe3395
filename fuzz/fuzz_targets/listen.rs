//! `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES` as anybody may have set them: the input's first three lines, of which
//! one that is missing is a variable that is not there. Nothing may panic or reserve more than the variables are worth,
//! and what is understood has one name for each descriptor.
#![no_main]

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

#[path = "../../src/systemd/listen.rs"]
mod listen;

const THIS: u32 = 7;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(OsStr::from_bytes);
    // In this order, so that an input of one line is a number of descriptors for whoever finds it.
    let (count, names, pid) = (lines.next(), lines.next(), lines.next());
    match listen::offered(pid, count, names, THIS) {
        Ok(offered) => {
            assert!(offered.count > 0 && i32::try_from(offered.count + 3).is_ok());
            let names = names.filter(|names| !names.is_empty());
            let said: Option<Vec<_>> = names.map(|names| names.as_bytes().split(|byte| *byte == b':').collect());
            assert!(said.as_ref().is_none_or(|said| said.len() == offered.count as usize));
            for place in 0..offered.count.min(64) {
                match &said {
                    Some(said) => assert_eq!(offered.name(place), String::from_utf8_lossy(said[place as usize])),
                    None => assert_eq!(offered.name(place), "unknown"),
                }
            }
        }
        Err(listen::NotOffered::Malformed(why)) => assert!(!why.to_string().is_empty()),
        Err(listen::NotOffered::NotToUs) => {}
    }
});
