use std::{
    env,
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use crate::{Error, ErrorKind, sys};

/// Where a server of this program meets operators and successors, unless it is told another path:
/// `<program>.control`, after the file name by which this process was started, so that services on one host do not collide.
///
/// It lies in `$RUNTIME_DIRECTORY` (systemd's `RuntimeDirectory=`), else in `$XDG_RUNTIME_DIR`, else, as root, in `/run`.
/// Where there is none of these it lies in a directory of the user's own among the temporary files, which is made if it
/// is missing.
///
/// # Errors
///
/// [`ErrorKind::Denied`] if that directory of the user's own is another's, or others may write to it.
/// [`ErrorKind::Socket`] if it can't be made, or the process was started without a name.
///
/// # Examples
///
/// ```no_run
/// # fn main() -> Result<(), tokio_hotrestart::Error> {
/// let path = tokio_hotrestart::control::default_path()?;
/// assert!(path.is_absolute());
/// # Ok(()) }
/// ```
pub fn default_path() -> Result<PathBuf, Error> {
    let uid = sys::effective_uid();
    let program = env::args_os().next().unwrap_or_default();
    let Some(program) = Path::new(&program).file_name() else {
        let what = "a default control path bears the program's name, and this process was started without one";
        return Err(Error::new(ErrorKind::Socket, what));
    };
    let given = given(env::var_os("RUNTIME_DIRECTORY"), env::var_os("XDG_RUNTIME_DIR"), uid);
    let place = given.map_or_else(|| own(&env::temp_dir(), uid), Ok)?;
    Ok(place.join(named_after(program)))
}

pub(crate) fn named_after(program: &OsStr) -> OsString {
    let mut name = program.to_owned();
    name.push(".control");
    name
}

/// A directory that the system has made for this process.
pub(crate) fn given(
    runtime_directory: Option<OsString>,
    xdg_runtime_dir: Option<OsString>,
    uid: u32,
) -> Option<PathBuf> {
    // systemd separates several by colons.
    let first = runtime_directory.as_deref().and_then(|several| env::split_paths(several).next());
    let absolute = |path: &PathBuf| path.is_absolute();
    let root = || (uid == 0).then(|| PathBuf::from("/run"));
    first.filter(absolute).or_else(|| xdg_runtime_dir.map(PathBuf::from).filter(absolute)).or_else(root)
}

/// Among the temporary files anybody may have made a directory of that name, to be asked in this server's place.
fn own(temporary: &Path, uid: u32) -> Result<PathBuf, Error> {
    let place = temporary.join(format!("hotrestart-{uid}"));
    let failed = |what, error| Error::io(ErrorKind::Socket, format!("{what} {}", place.display()), error);
    match fs::DirBuilder::new().mode(0o700).create(&place) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("make", error)),
        _ => {}
    }
    // Not through a link, which would be another's however well its target looks.
    let found = fs::symlink_metadata(&place).map_err(|error| failed("look at", error))?;
    if !found.is_dir() || found.uid() != uid || found.mode() & 0o022 != 0 {
        let what = format!("{} is no directory of user {uid} alone, so nobody is to be met there", place.display());
        return Err(Error::new(ErrorKind::Denied, what));
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_system_s_directory_for_the_service_comes_first_then_the_user_s_then_roots() {
        let some = |text: &str| Some(OsString::from(text));
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(given(some("/run/a:/run/b"), some("/run/user/7"), 7), path("/run/a"));
        assert_eq!(given(None, some("/run/user/7"), 7), path("/run/user/7"));
        assert_eq!(given(some(""), some("relative"), 0), path("/run"));
        assert_eq!(given(None, None, 7), None);
    }

    #[test]
    fn a_directory_of_our_own_is_made_once_for_us_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let uid = sys::effective_uid();
        let place = own(temporary.path(), uid).unwrap();
        assert_eq!(fs::metadata(&place).unwrap().mode() & 0o777, 0o700);
        assert_eq!(own(temporary.path(), uid).unwrap(), place);
    }

    #[test]
    fn a_directory_that_another_may_have_made_is_not_used() {
        let temporary = tempfile::tempdir().unwrap();
        let uid = sys::effective_uid();
        let place = own(temporary.path(), uid).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o770)).unwrap();
        assert_eq!(own(temporary.path(), uid).unwrap_err().kind(), ErrorKind::Denied, "others may write to it");
        let elsewhere = temporary.path().join("elsewhere");
        fs::rename(&place, &elsewhere).unwrap();
        fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &place).unwrap();
        assert_eq!(own(temporary.path(), uid).unwrap_err().kind(), ErrorKind::Denied, "a link");
        // The one that is made here is ours, and so not that user's.
        assert_eq!(own(temporary.path(), uid + 1).unwrap_err().kind(), ErrorKind::Denied, "another's");
    }

    #[test]
    fn the_path_bears_the_program_s_name() {
        assert_eq!(named_after("server".as_ref()), "server.control");
        assert!(default_path().unwrap().file_name().unwrap().to_string_lossy().ends_with(".control"));
    }
}
