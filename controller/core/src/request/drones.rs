//! What is asked about one drone.

use swarm_protocol::machine::DroneType;

/// Something for one drone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroneRequest {
    /// Name or identity.
    pub drone: String,
    /// What is to be done with it.
    pub action: DroneAction,
}

/// What a person can do with a drone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DroneAction {
    /// No new work; what runs goes on.
    Pause,
    /// End a pause or a drain.
    Resume,
    /// No new work; ends by itself when it is empty and stays out until resumed.
    Drain,
    /// Forget an offline drone; its key is let in no more.
    Forget,
    /// Cut it off, whatever it does; its key is never let in again.
    Revoke,
}

/// A rung of the ladder by hand, or the ladder's reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealRequest {
    /// Name or identity.
    pub drone: String,
    /// What is to be done about it.
    pub action: HealAction,
}

/// What a person can do about a drone that does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealAction {
    /// Back to level 0; what is wrong is judged anew.
    Reset,
    /// Level 1 now.
    Restart,
    /// Level 2 now.
    HardRestart,
    /// Level 3 now, where the rules allow it.
    Reboot,
    /// The operator's word on its type; `None` takes it back.
    SetType(Option<DroneType>),
}

/// The operator's wishes for a drone; what is `None` stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WishRequest {
    /// Name or identity.
    pub drone: String,
    /// The changes.
    pub wishes: Box<DroneWishes>,
}

/// Changes of the operator's wishes: the outer `None` leaves a wish as it is, an inner one takes it back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DroneWishes {
    /// Never rebooted.
    pub protected: Option<bool>,
    /// May be rebooted.
    pub auto_reboot: Option<Option<bool>>,
    /// Number or name on the hypervisor.
    pub vmid: Option<Option<String>>,
    /// SSH user.
    pub ssh_user: Option<Option<String>>,
    /// SSH address.
    pub ssh_host: Option<Option<String>>,
    /// SSH port.
    pub ssh_port: Option<Option<u16>>,
    /// SSH private key.
    pub ssh_key_path: Option<Option<String>>,
    /// SSH host keys, `type base64`.
    pub ssh_host_keys: Option<Option<Vec<String>>>,
    /// Name for people.
    pub display_name: Option<Option<String>>,
    /// Notes.
    pub notes: Option<Option<String>>,
}

/// Send a notice to see whether it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestNoticeRequest {}
