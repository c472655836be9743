//! The bus as one of its users sees it: the controller itself (for tapping and for reading the event stream), or a drone.
//! Blocking, for tests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_nats::jetstream;
use async_nats::{Client, ConnectOptions, Message, Subscriber};
use futures::StreamExt;
use swarm_protocol::envelope::open;
use swarm_protocol::event::Event;
use swarm_protocol::subject::EVENT_STREAM;
use swarm_protocol::{DroneId, Subjects};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::Swarm;

/// How long one answer of the bus may take.
const ANSWER: Duration = Duration::from_secs(20);
/// Messages of the stream asked for at one time.
const AT_ONCE: usize = 32;

/// A connection to a swarm's bus. It comes back by itself when the server was away.
#[derive(Debug)]
pub struct Bus {
    runtime: Runtime,
    client: Client,
    /// Who it is.
    pub id: DroneId,
    /// Subjects.
    pub subjects: Subjects,
}

impl Bus {
    /// With the controller's own key: may hear and say everything.
    ///
    /// # Errors
    /// When it can't connect.
    pub fn as_controller(swarm: &Swarm) -> Result<Self> {
        Self::join(swarm, "keys/controller.nk")
    }

    /// With a drone's key: may say what that drone may.
    ///
    /// # Errors
    /// When it can't connect.
    pub fn as_drone(swarm: &Swarm, name: &str) -> Result<Self> {
        Self::join(swarm, &format!("drones/{name}.nk"))
    }

    fn join(swarm: &Swarm, key: &str) -> Result<Self> {
        let seed = fs_err::read_to_string(swarm.data().join(key))?;
        let seed = seed.lines().map(str::trim).find(|line| line.starts_with("SU")).context("a file with a seed")?;
        let pair = nkeys::KeyPair::from_seed(seed)?;
        let url = fs_err::read_to_string(swarm.data().join("bus.url"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let options = ConnectOptions::with_nkey(seed.to_owned())
            .add_root_certificates(swarm.data().join("bus-ca.pem"))
            .require_tls(true)
            .name("test")
            .custom_inbox_prefix(Subjects::inbox(&pair.public_key()))
            .max_reconnects(None)
            .reconnect_delay_callback(|_| Duration::from_millis(20));
        let client = runtime.block_on(options.connect(url.trim())).context("connect to the bus")?;
        Ok(Self { runtime, client, id: DroneId(pair.public_key()), subjects: Subjects::default() })
    }

    /// Publishes bytes, and waits until they have left.
    ///
    /// # Errors
    /// When the bus is away.
    pub fn publish(&self, subject: &str, bytes: Vec<u8>) -> Result<()> {
        self.runtime.block_on(async {
            self.client.publish(subject.to_owned(), bytes.into()).await?;
            Ok(self.client.flush().await?)
        })
    }

    /// The same, saying where an answer is to go.
    ///
    /// # Errors
    /// When the bus is away.
    pub fn publish_with_reply(&self, subject: &str, reply: &str, bytes: Vec<u8>) -> Result<()> {
        self.runtime.block_on(async {
            self.client.publish_with_reply(subject.to_owned(), reply.to_owned(), bytes.into()).await?;
            Ok(self.client.flush().await?)
        })
    }

    /// A place of its own for answers.
    pub fn inbox(&self) -> String {
        format!("{}.test", Subjects::inbox(self.id.as_str()))
    }

    /// Asks and waits for the answer's bytes; `None` if none comes in time.
    pub fn ask(&self, subject: &str, bytes: Vec<u8>, within: Duration) -> Option<Vec<u8>> {
        let request = async_nats::Request::new().payload(bytes.into()).timeout(Some(within));
        let answer = self.runtime.block_on(self.client.send_request(subject.to_owned(), request));
        answer.ok().map(|message| message.payload.to_vec())
    }

    /// Everything the event stream holds, by its own sequence numbers, read from the stream itself.
    ///
    /// # Errors
    /// When it can't be read, or a number is missing.
    pub fn stream(&self) -> Result<Vec<(u64, Event)>> {
        self.runtime.block_on(async {
            let context = jetstream::new(self.client.clone());
            let mut stream = context.get_stream(EVENT_STREAM).await?;
            let state = stream.info().await?.state.clone();
            let numbers: Vec<u64> = (state.first_sequence..=state.last_sequence).collect();
            let stream = &stream;
            let read = numbers.into_iter().map(|number| async move {
                let message = tokio::time::timeout(ANSWER, stream.get_raw_message(number)).await??;
                Ok((message.sequence, open::<Event>(&message.payload)?.body))
            });
            let read: Vec<Result<(u64, Event)>> = futures::stream::iter(read).buffered(AT_ONCE).collect().await;
            read.into_iter().collect()
        })
    }

    /// Keeps whatever is said on these subjects from now on.
    ///
    /// # Errors
    /// When the bus refuses.
    pub fn overhear(&self, subjects: &str) -> Result<Overheard> {
        let mut messages = self.runtime.block_on(self.client.subscribe(subjects.to_owned()))?;
        self.settled();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        let task = self.runtime.spawn(async move {
            while let Some(message) = messages.next().await {
                lock(&kept).push((message.subject.to_string(), message.payload.to_vec()));
            }
        });
        Ok(Overheard { heard, task })
    }

    /// What was asked of the server before, it has done: it refuses a request nobody serves, in order.
    fn settled(&self) {
        let unserved = format!("{}.settled", self.subjects.prefix());
        let _ = self.ask(&unserved, Vec::new(), Duration::from_secs(5));
    }

    /// Taps the events from now on.
    ///
    /// # Errors
    /// When the bus refuses.
    pub fn tap(&self) -> Result<Tapper> {
        let events = self.runtime.block_on(self.client.subscribe(self.subjects.all_events()))?;
        self.settled();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let task = self.runtime.spawn(hear(events, Arc::clone(&heard)));
        Ok(Tapper { heard, task })
    }
}

/// What a tapper heard.
#[derive(Debug, Default)]
struct Heard {
    events: Vec<Event>,
    unreadable: usize,
}

async fn hear(mut events: Subscriber, heard: Arc<Mutex<Heard>>) {
    while let Some(Message { payload, .. }) = events.next().await {
        let mut heard = lock(&heard);
        match open::<Event>(&payload) {
            Ok(envelope) => heard.events.push(envelope.body),
            Err(_) => heard.unreadable += 1,
        }
    }
}

fn lock<T>(heard: &Mutex<T>) -> MutexGuard<'_, T> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A message's subject and its bytes.
pub type Said = (String, Vec<u8>);

/// What was overheard.
#[derive(Debug)]
pub struct Overheard {
    heard: Arc<Mutex<Vec<Said>>>,
    task: JoinHandle<()>,
}

impl Overheard {
    /// Messages so far, in their order.
    pub fn heard(&self) -> Vec<Said> {
        lock(&self.heard).clone()
    }
}

impl Drop for Overheard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Hears every event as it is published; what is published while the bus is away it misses, as any tapper.
#[derive(Debug)]
pub struct Tapper {
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

impl Tapper {
    /// Everything heard so far, in the order it came.
    ///
    /// # Errors
    /// When something that came can't be read.
    pub fn heard(&self) -> Result<Vec<Event>> {
        let heard = lock(&self.heard);
        if heard.unreadable > 0 {
            bail!("{} messages on the events' subjects can't be read", heard.unreadable);
        }
        Ok(heard.events.clone())
    }

    /// The event heard last.
    pub fn last(&self) -> Option<Event> {
        lock(&self.heard).events.last().cloned()
    }
}

impl Drop for Tapper {
    fn drop(&mut self) {
        self.task.abort();
    }
}
