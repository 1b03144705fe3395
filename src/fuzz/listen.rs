//! `LISTEN_FDS`, `LISTEN_FDNAMES` and `LISTEN_PID` as anybody may have set them: the input's first three lines. What is
//! understood has one name for each descriptor, and each descriptor is claimed at most once.

use std::{
    ffi::OsStr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
};

use super::{block_on, descriptors::Descriptors};
use crate::{
    name::Name,
    sockets::Registry,
    systemd::{NotOffered, offered},
};

const THIS: u32 = 7;

pub(super) fn run(input: &[u8]) {
    // One that is missing is a variable that is not there. In this order, so that an input of one line is a number of
    // descriptors for whoever finds it.
    let mut lines = input.split(|byte| *byte == b'\n').map(OsStr::from_bytes);
    let (count, names, pid) = (lines.next(), lines.next(), lines.next());
    let offered = match offered(pid, count, names, THIS) {
        Ok(offered) => offered,
        Err(NotOffered::Malformed(why)) => {
            assert!(!why.to_string().is_empty());
            return;
        }
        Err(NotOffered::NotToUs) => return,
    };
    assert!(offered.count > 0 && i32::try_from(offered.count + 3).is_ok());
    let names = names.filter(|names| !names.is_empty());
    let said: Option<Vec<_>> = names.map(|names| names.as_bytes().split(|byte| *byte == b':').collect());
    assert!(said.as_ref().is_none_or(|said| said.len() == offered.count as usize));
    let some = offered.count.min(64);
    for place in 0..some {
        match &said {
            Some(said) => assert_eq!(offered.name(place), String::from_utf8_lossy(said[place as usize])),
            None => assert_eq!(offered.name(place), "unknown"),
        }
    }
    let names: Vec<_> = (0..some).map(|place| offered.name(place)).collect();
    claim(&names);
}

/// As many descriptors under these names.
fn claim(names: &[String]) {
    let descriptors = Descriptors::new();
    block_on(async {
        let mut registry = Registry::default();
        registry.activate(names.iter().cloned().zip(descriptors.copies(names.len())).collect());
        let mut claimed = 0;
        for name in names.iter().filter_map(|name| Name::new(name).ok()) {
            claimed += usize::from(registry.claim::<OwnedFd>(&name).is_ok_and(|it| it.is_some()));
        }
        assert!(claimed <= names.len());
        registry.close_leftovers();
        assert_eq!(registry.to_pass().len(), claimed, "what nobody has claimed is closed");
    });
    descriptors.assert_closed();
}
