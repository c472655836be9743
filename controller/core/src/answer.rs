//! What is answered. An answer leaves only after the rows it speaks of are on disk. `Answer` is the list of all kinds;
//! [`crate::ask::Ask`] says which question has which.

use swarm_protocol::artifact::ArtifactAnswer;
use swarm_protocol::plan::PlanAnswer;
use swarm_protocol::report::{BuildAnswer, HelloAnswer, SyncAnswer};
use swarm_protocol::{ArtifactId, BuildId, DroneId, Secret, SessionId};

use crate::explanation::Explanation;
use crate::rows::{IndexKey, InviteRow};

/// Where an answer goes; the engine knows who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyTo(pub u64);

/// One kind of answer a line: its name and what it tells. Each type stands here once, so that an answer can be told from the
/// others by its type.
macro_rules! answers {
    ($($(#[$doc:meta])* $kind:ident($answer:ty),)+) => {
        /// Answers.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Answer {
            $($(#[$doc])* $kind($answer),)+
        }

        $(
            impl From<$answer> for Answer {
                fn from(answer: $answer) -> Self {
                    Self::$kind(answer)
                }
            }

            impl TryFrom<Answer> for $answer {
                type Error = Answer;

                fn try_from(answer: Answer) -> Result<Self, Answer> {
                    match answer {
                        Answer::$kind(answer) => Ok(answer),
                        other => Err(other),
                    }
                }
            }
        )+
    };
}

answers! {
    /// To a hello.
    Hello(HelloAnswer),
    /// To a build report.
    Build(BuildAnswer),
    /// To a ticket request.
    Artifact(ArtifactAnswer),
    /// To a plan.
    Plan(PlanAnswer),
    /// To the end of a sync.
    Sync(SyncAnswer),
    /// Packages are queued.
    Queued(Queued),
    /// Done, with how many it touched.
    Done(Done),
    /// A rung by hand is under way, or the ladder was reset.
    Healed(Healed),
    /// Why a package is not building.
    Why(Vec<Explanation>),
    /// What a ticket is good for.
    Ticket(Ticket),
    /// What retention took, or would take.
    Collected(Collected),
    /// Whether a person's package is wanted.
    Import(ImportAnswer),
    /// An invitation was made.
    Invited(InviteRow),
    /// What proofs for an invitation are checked against.
    Verifier(Verifier),
    /// A drone is let in.
    Enrolled(Enrolled),
    /// What became of an upload.
    Upload(UploadAnswer),
    /// Refused.
    Refused(Refusal),
}

/// The public half of an invitation's key pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier(pub String);

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadAnswer {
    /// The file stays; it will be signed.
    Taken {},
    /// The file goes.
    Refused {
        /// Why, for people.
        reason: String,
    },
}

/// Answer to a queue request.
#[derive(Debug, Clone, PartialEq)]
pub struct Queued {
    /// The session they are in.
    pub session: SessionId,
    /// Its name.
    pub session_name: String,
    /// New entries.
    pub builds: Vec<BuildId>,
    /// The atoms of the new entries.
    pub packages: Vec<String>,
    /// Atoms that were waiting already.
    pub duplicates: Vec<String>,
}

/// Answer to a control.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// How many packages or drones it touched.
    pub touched: u64,
    /// Names or atoms of them, at most 100.
    pub what: Vec<String>,
}

impl Done {
    /// Names in an answer, at most.
    const NAMED: usize = 100;

    /// With no more names than an answer has.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        self.what.truncate(Self::NAMED);
        self
    }
}

/// Answer to a rung by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healed {
    /// Which drone.
    pub drone: DroneId,
    /// Its name.
    pub name: String,
    /// Its level before.
    pub previous_level: u8,
    /// Number of the order, if one was given.
    pub generation: Option<u64>,
}

/// A drone that is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub drone: DroneId,
}

/// What a ticket is good for.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The artifact.
    pub artifact: ArtifactId,
    /// Who got it; for an import nobody.
    pub drone: DroneId,
    /// Why it is good no more; to be told to nobody but who has the secret.
    pub refused: Option<String>,
    /// The secret to compare with.
    pub token: String,
    /// SHA-256 the file must have.
    pub sha256: String,
    /// Bytes it must have.
    pub size: u64,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket {{ artifact: {}, sha256: {}, size: {} }}", self.artifact, self.sha256, self.size)
    }
}

/// What retention took out of the binhost, or would.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    /// How many.
    pub count: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// The first of them, at most 1,000.
    pub packages: Vec<CollectedPackage>,
    /// Packages that left their index earlier and whose files wait for their time.
    pub waiting: u64,
    /// Bytes of those files.
    pub waiting_bytes: u64,
}

/// A package retention takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectedPackage {
    /// Number.
    pub artifact: ArtifactId,
    /// Its index.
    pub index: IndexKey,
    /// `category/name-version`.
    pub cpv: String,
    /// BUILD_ID.
    pub build_id: u32,
    /// Bytes of its file.
    pub size: u64,
}

/// Whether a person's package is wanted. One that is refused is a [`Refusal`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportAnswer {
    /// Upload it, with this ticket, to where drones upload.
    Wanted {
        /// Number of the artifact.
        artifact: ArtifactId,
        /// The ticket's secret.
        token: Secret,
        /// Milliseconds it is good for.
        expires_ms: u64,
        /// The index it goes into.
        index: IndexKey,
    },
    /// It would be wanted; nothing was changed.
    WouldTake {
        /// The index it would go into.
        index: IndexKey,
    },
    /// The binhost has it.
    Present {
        /// Number of the artifact.
        artifact: ArtifactId,
        /// The index it is in.
        index: IndexKey,
    },
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind, for status codes.
    pub kind: RefusalKind,
    /// What went wrong, with what.
    pub error: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The request makes no sense.
    Invalid,
    /// What it names does not exist.
    NotFound,
    /// It does not fit the state things are in.
    Conflict,
    /// What it names is over.
    Gone,
    /// A bound is reached.
    Full,
}

/// A request that makes no sense: what is wrong, with what, and what to do instead.
pub(crate) fn invalid(error: String, hint: &str) -> Refusal {
    Refusal { kind: RefusalKind::Invalid, error, hint: Some(hint.to_owned()) }
}
