//! `/metrics`: every number is read when it is asked for; only HTTP requests are counted as they come. Labels are bounded:
//! drones by the fleet, paths by the routes there are.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use swarm_core::View;
use swarm_core::view::{DroneView, Presence};

use crate::engine::StatsNow;

/// What others have counted, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counted {
    /// The engine.
    pub engine: StatsNow,
    /// The bus connection stands.
    pub bus_connected: bool,
    /// By what it is: messages of the bus that were not served, and why.
    pub bus: Vec<(&'static str, u64)>,
    /// By what it is: pieces of build logs.
    pub logs: Vec<(&'static str, u64)>,
    /// The last event the bus's stream holds.
    pub events_published: u64,
    /// Size of the store's file, bytes.
    pub store_bytes: u64,
}

/// Labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    method: String,
    path: String,
    status: u16,
}

/// Counts of HTTP requests. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Requests {
    total: Family<Asked, Counter>,
    seconds: Histogram,
}

impl Default for Requests {
    fn default() -> Self {
        let bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        Self { total: Family::default(), seconds: Histogram::new(bounds) }
    }
}

impl Requests {
    /// A request was answered. `path` is the route's, with its parameters' names, so that there are few.
    pub fn answered(&self, method: &str, path: &str, status: u16, seconds: f64) {
        let asked = Asked { method: method.to_owned(), path: path.to_owned(), status };
        self.total.get_or_create(&asked).inc();
        self.seconds.observe(seconds);
    }
}

/// The text for a scrape.
///
/// # Errors
/// Never in practice: writing into memory.
pub fn text(
    view: Arc<View>,
    counted: Counted,
    requests: &Requests,
    uptime_s: f64,
    streams: usize,
) -> Result<String, Error> {
    let mut registry = Registry::with_prefix("swarm");
    registry.register("http_requests", "HTTP requests by route", requests.total.clone());
    registry.register(
        "http_request_duration_seconds",
        "Time until an HTTP request was answered",
        requests.seconds.clone(),
    );
    registry.register_collector(Box::new(Moment { view, counted, uptime_s, streams }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Moment {
    view: Arc<View>,
    counted: Counted,
    uptime_s: f64,
    streams: usize,
}

impl Collector for Moment {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let mut out = Out(&mut encoder);
        out.gauge_by("info", "The controller's version", [([("version", env!("CARGO_PKG_VERSION"))], 1.0)])?;
        out.gauge("uptime_seconds", "Since the controller's start", self.uptime_s)?;
        self.queue(&mut out)?;
        self.fleet(&mut out)?;
        self.engine(&mut out)?;
        self.plumbing(&mut out)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn real(count: u64) -> f64 {
    count as f64
}

impl Moment {
    fn queue(&self, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let counts = &self.view.counts;
        let states = [
            ("needed", counts.needed),
            ("delegated", counts.delegated),
            ("received", counts.received),
            ("blocked", counts.blocked),
            ("failed", counts.failed),
        ];
        out.gauge_by(
            "packages",
            "Packages of the active session by state; of all sessions if none is open",
            states.map(|(state, count)| ([("state", state)], real(count))),
        )?;
        out.gauge("packages_waiting", "Needed packages that wait for a dependency", real(counts.waiting))?;
        out.gauge("paused", "1 while a person has paused the swarm", f64::from(u8::from(self.view.paused.is_some())))?;
        out.counter("events", "Events so far", self.view.last_event)
    }

    fn fleet(&self, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let drones = || self.view.drones.values();
        let online = drones().filter(|drone| drone.presence == Presence::Online).count() as u64;
        let states = [("online", online), ("offline", drones().count() as u64 - online)];
        out.gauge_by("drones", "Drones by state", states.map(|(state, count)| ([("state", state)], real(count))))?;
        type Of = fn(&DroneView) -> f64;
        let gauges: [(&str, &str, Of); 6] = [
            ("drone_up", "1 while heartbeats come", |drone| f64::from(u8::from(drone.presence == Presence::Online))),
            ("drone_cpu_percent", "Processor use of a drone", |drone| drone.vitals.cpu_percent),
            ("drone_memory_percent", "Memory use of a drone", |drone| drone.vitals.mem_percent),
            ("drone_load1", "Load of a drone, one minute", |drone| drone.vitals.load_1m),
            ("drone_disk_free_bytes", "Free space where a drone builds", |drone| real(drone.vitals.disk_build_free)),
            ("drone_tasks", "Packages in a drone's hands", |drone| real(drone.tasks.len() as u64)),
        ];
        for (name, help, of) in gauges {
            let each = drones().map(|drone| ([("drone", drone.row.name.as_str())], of(drone)));
            out.gauge_by(name, help, each.filter(|(_, value)| value.is_finite()))?;
        }
        let results = drones().flat_map(|drone| {
            let name = drone.row.name.as_str();
            [("success", drone.completed), ("failed", drone.failed)]
                .map(|(result, count)| ([("drone", name), ("result", result)], count))
        });
        out.counter_by("builds", "Attempts that ended, by drone and result", results)
    }

    fn engine(&self, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let engine = &self.counted.engine;
        out.counter("engine_inputs", "Inputs handled", engine.inputs)?;
        out.counter("engine_batches", "Batches they came in", engine.batches)?;
        out.counter("engine_commits", "Transactions committed", engine.commits)?;
        out.counter("engine_rows", "Rows written or removed", engine.rows)?;
        out.counter("engine_commit_microseconds", "Time spent in commits", engine.commit_micros)?;
        out.counter("engine_shed", "Inputs shed because the queue was full", engine.shed)?;
        out.counter("engine_busy", "Askers told that the engine is busy", engine.busy)?;
        out.gauge("engine_queue_depth", "Inputs that wait", real(engine.queue_depth))?;
        out.gauge("engine_waiting", "Askers that wait for an answer", real(engine.waiting))
    }

    fn plumbing(&self, out: &mut Out<'_, '_>) -> Result<(), Error> {
        let counted = &self.counted;
        out.gauge("bus_connected", "1 while the bus is reached", f64::from(u8::from(counted.bus_connected)))?;
        let by = |(what, count): &(&'static str, u64)| ([("what", *what)], *count);
        out.counter_by(
            "bus_unserved",
            "Messages of the bus that were not served, and reconnects",
            counted.bus.iter().map(by),
        )?;
        out.counter_by(
            "log_chunks_unusual",
            "Pieces of build logs that took another way",
            counted.logs.iter().map(by),
        )?;
        out.gauge(
            "events_published",
            "Number of the last event the bus's stream holds",
            real(counted.events_published),
        )?;
        out.gauge("store_bytes", "Size of the store's file", real(counted.store_bytes))?;
        out.gauge("http_streams", "Readers that follow events or logs", real(self.streams as u64))
    }
}

/// Writes metrics of one value or of some label sets.
struct Out<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Out<'_, '_> {
    fn gauge(&mut self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.0.encode_descriptor(name, help, None, gauge.metric_type())?)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        let counter = ConstCounter::new(value);
        counter.encode(self.0.encode_descriptor(name, help, None, counter.metric_type())?)
    }

    fn gauge_by<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'l str, &'l str); N], f64)>,
    ) -> Result<(), Error> {
        let kind = ConstGauge::new(0.0).metric_type();
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn counter_by<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([(&'l str, &'l str); N], u64)>,
    ) -> Result<(), Error> {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
