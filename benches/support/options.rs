use clap::Args;

/// What cargo and the benchmarks themselves pass, beside each one's own options.
#[derive(Debug, Args)]
pub(crate) struct Harness {
    /// `cargo bench` passes it to whatever it runs.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be one of the servers that are compared.
    #[arg(long, hide = true, value_name = "KIND")]
    pub(crate) serve: Option<super::Kind>,
}
