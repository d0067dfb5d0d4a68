//! From every room's error to a report and an exit code.

use textwrap::{WordSeparator, WordSplitter};

use crate::{
    addon, artifact,
    burst::{self, cloud::CloudError, network, service},
    cluster, engine,
    exit::Exit,
    inventory, kube, lab, transport,
};

/// What a verb ends with when it cannot do what was asked.
pub struct Failure {
    pub report: miette::Report,
    pub exit: Exit,
}

/// Reports end their lines at spaces alone: a fingerprint, a path or a command's option is copied, and compared, in one piece.
pub fn keep_words_whole() {
    let options = || {
        miette::MietteHandlerOpts::new()
            .word_separator(WordSeparator::AsciiSpace)
            .word_splitter(WordSplitter::NoHyphenation)
            .break_words(false)
    };
    // Only the first hook of a process counts, and this is it.
    let _ = miette::set_hook(Box::new(move |_| Box::new(options().build())));
}

impl Failure {
    /// A local file, process or device failed.
    pub fn os(error: std::io::Error) -> Failure {
        Failure { report: miette::Report::msg(error), exit: Exit::Os }
    }

    /// With the other exit code, if that is worse.
    pub fn or_worse(self, exit: Exit) -> Failure {
        Failure { exit: Exit::worst([self.exit, exit]), ..self }
    }
}

impl From<miette::Report> for Failure {
    fn from(report: miette::Report) -> Self {
        Failure { report, exit: Exit::Failed }
    }
}

impl From<inventory::Error> for Failure {
    fn from(error: inventory::Error) -> Self {
        let exit = super::check::exit_of(&error);
        Failure { report: error.into(), exit }
    }
}

impl From<burst::simulate::Error> for Failure {
    fn from(error: burst::simulate::Error) -> Self {
        use burst::simulate::Error;
        let is_absent =
            matches!(&error, Error::Workload { .. } | Error::Unreadable(crate::yaml::ReadError::Io { .. }));
        Failure { report: error.into(), exit: if is_absent { Exit::Os } else { Exit::Data } }
    }
}

impl From<inventory::NoSuchHost> for Failure {
    fn from(error: inventory::NoSuchHost) -> Self {
        Failure { report: error.into(), exit: Exit::Usage }
    }
}

impl From<network::Error> for Failure {
    fn from(error: network::Error) -> Self {
        Failure { report: error.into(), exit: Exit::Data }
    }
}

impl From<service::Missing> for Failure {
    fn from(error: service::Missing) -> Self {
        Failure { report: error.into(), exit: Exit::Data }
    }
}

impl From<service::Error> for Failure {
    fn from(error: service::Error) -> Self {
        match error {
            service::Error::Missing(missing) => missing.into(),
            service::Error::Kube(error) => error.into(),
            moved @ service::Error::Moved(_) => Failure { report: moved.into(), exit: Exit::Data },
            away @ service::Error::Away { .. } => Failure { report: away.into(), exit: Exit::Unavailable },
            other => Failure { report: other.into(), exit: Exit::Failed },
        }
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        let exit = if error.is_retryable() { Exit::Unavailable } else { Exit::Failed };
        Failure { report: error.into(), exit }
    }
}

impl From<cluster::AccessError> for Failure {
    fn from(error: cluster::AccessError) -> Self {
        match error {
            cluster::AccessError::Api(error) => error.into(),
            silent @ cluster::AccessError::Silent { .. } => {
                Failure { report: silent.into(), exit: Exit::Unavailable }
            }
            other => Failure { report: other.into(), exit: Exit::Failed },
        }
    }
}

impl From<addon::Error> for Failure {
    fn from(error: addon::Error) -> Self {
        match error {
            addon::Error::Access(error) => error.into(),
            addon::Error::Api(error) => error.into(),
            addon::Error::Engine(error) => error.into(),
            wrong @ (addon::Error::Unknown { .. }
            | addon::Error::Definition(_)
            | addon::Error::Mistakes { .. }
            | addon::Error::Plugin { .. }
            | addon::Error::Rendered { .. }) => Failure { report: wrong.into(), exit: Exit::Data },
            asked @ (addon::Error::Wanted { .. } | addon::Error::Network { .. }) => {
                Failure { report: asked.into(), exit: Exit::Usage }
            }
            other => Failure { report: other.into(), exit: Exit::Failed },
        }
    }
}

macro_rules! with_own_exit {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let exit = error.exit();
                Failure { report: error.into(), exit }
            }
        }
    )*};
}

with_own_exit!(
    network::StackFailure,
    artifact::Error,
    cluster::packages::Error,
    engine::Error,
    transport::Error,
    lab::LabError
);

macro_rules! failed {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Failure { report: error.into(), exit: Exit::Failed }
            }
        }
    )*};
}

failed!(
    CloudError,
    addon::Stuck,
    cluster::limited::Error,
    cluster::serving::Error,
    cluster::kubeconfig::Error,
    cluster::sample::Error,
    cluster::reach::Error
);
