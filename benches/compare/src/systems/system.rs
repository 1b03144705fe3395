use std::{fmt, sync::LazyLock};

use clap::{ValueEnum, builder::PossibleValue};

use super::versions::{installed, version_of};
use crate::server::Kind;

/// Who is restarted, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Rust(Kind),
    /// Another binary, and then an end for the first.
    NginxUpgrade,
    NginxReload,
    HaproxyReload,
    /// With `option idle-close-on-response`.
    HaproxyIdleClose,
}

impl System {
    pub(crate) const OURS: Self = Self::Rust(Kind::Ours);

    pub(crate) const ALL: [Self; 10] = [
        Self::OURS,
        Self::Rust(Kind::OursStays),
        Self::Rust(Kind::Ecdysis),
        Self::Rust(Kind::Shellflip),
        Self::Rust(Kind::Activated),
        Self::Rust(Kind::ReusePort),
        Self::NginxUpgrade,
        Self::NginxReload,
        Self::HaproxyReload,
        Self::HaproxyIdleClose,
    ];

    /// The Rust server that it is.
    pub(crate) fn kind(self) -> Option<Kind> {
        if let Self::Rust(kind) = self { Some(kind) } else { None }
    }

    /// Why it can't be measured here at all.
    pub(crate) fn missing(self) -> Option<String> {
        let (program, packages) = match self {
            // And the module that one scenario needs.
            Self::NginxUpgrade | Self::NginxReload => ("nginx", "nginx libnginx-mod-http-echo"),
            Self::HaproxyReload | Self::HaproxyIdleClose => ("haproxy", "haproxy"),
            Self::Rust(_) => return None,
        };
        installed(program).is_none().then(|| format!("not installed: apt-get install {packages}"))
    }

    pub(crate) fn is_nginx(self) -> bool {
        matches!(self, Self::NginxUpgrade | Self::NginxReload)
    }
}

/// As the command line has them.
impl ValueEnum for System {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Rust(kind) => kind.to_possible_value(),
            Self::NginxUpgrade => Some("nginx-upgrade".into()),
            Self::NginxReload => Some("nginx-reload".into()),
            Self::HaproxyReload => Some("haproxy-reload".into()),
            Self::HaproxyIdleClose => Some("haproxy-idle-close".into()),
        }
    }
}

/// Each is run once to be asked.
static NGINX: LazyLock<Option<String>> = LazyLock::new(|| installed("nginx"));
static HAPROXY: LazyLock<Option<String>> = LazyLock::new(|| installed("haproxy"));

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, version, how) = match self {
            Self::Rust(Kind::Ours) => return f.pad("ours"),
            Self::Rust(Kind::OursStays) => return f.pad("ours, handover off"),
            Self::Rust(Kind::Ecdysis) => ("ecdysis", version_of("ecdysis"), " + axum"),
            Self::Rust(Kind::Shellflip) => ("shellflip", version_of("shellflip"), " + axum"),
            Self::Rust(Kind::Activated) => ("axum", version_of("axum"), ", socket activation"),
            Self::Rust(Kind::ReusePort) => ("axum", version_of("axum"), ", SO_REUSEPORT"),
            Self::NginxUpgrade => ("nginx", NGINX.clone(), ", USR2 and QUIT"),
            Self::NginxReload => ("nginx", NGINX.clone(), ", HUP"),
            Self::HaproxyReload => ("HAProxy", HAPROXY.clone(), ", reload"),
            Self::HaproxyIdleClose => ("HAProxy", HAPROXY.clone(), ", idle-close"),
        };
        f.pad(&format!("{name} {}{how}", version.as_deref().unwrap_or("?")))
    }
}
