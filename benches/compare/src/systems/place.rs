use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4, TcpListener},
    path::PathBuf,
    process::Stdio,
};

use tempfile::TempDir;

use crate::server::Setup;

/// Where a system has its files, and what of this machine is its own.
pub(crate) struct Place {
    directory: TempDir,
    pub(crate) setup: Setup,
}

impl Place {
    pub(crate) fn new(setup: &Setup) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("compare").tempdir()?;
        // Not everybody takes port 0, and whoever is started beside another must know.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let listen = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let setup = Setup { listen, place: directory.path().to_owned(), ..setup.clone() };
        Ok(Self { directory, setup })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where a process writes what it has to say.
    pub(crate) fn log_file(&self) -> anyhow::Result<Stdio> {
        Ok(fs::File::options().create(true).append(true).open(self.file("log"))?.into())
    }

    /// All that was said.
    pub(crate) fn log(&self) -> String {
        fs::read(self.file("log")).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Puts a file into another's place at once: nobody ever sees half a one.
    pub(crate) fn replace(&self, name: &str, make: impl FnOnce(&PathBuf) -> std::io::Result<()>) -> anyhow::Result<()> {
        let next = self.file("next");
        make(&next)?;
        Ok(fs::rename(next, self.file(name))?)
    }
}
