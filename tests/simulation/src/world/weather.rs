//! Faults, as they happen and end.

use super::*;

impl World {
    pub(super) fn fault(&mut self, fault: Fault) {
        let now = self.now;
        let over = |ended: Ended| Event::Fault(Fault::Over(ended));
        match fault {
            Fault::ControllerCrash { mode, away } => (self.armed, self.away) = (Some(mode), away),
            Fault::PowerCut { drone, away } => {
                self.machines[drone].power_off();
                self.machines[drone].boot_later(away);
                self.serve(drone);
            }
            Fault::SupervisorCrash { drone } => self.on(drone, |machine| machine.crash(Process::Supervisor)),
            Fault::WorkerCrash { drone } => self.on(drone, |machine| machine.crash(Process::Worker)),
            Fault::WorkerHangs { drone } => self.on(drone, |machine| machine.hung = machine.works()),
            Fault::CrashLoop { drone, away } => {
                self.on(drone, |machine| {
                    machine.crashing = true;
                    machine.crash(Process::Worker);
                });
                self.at(now + away, over(Ended::CrashLoop(drone)));
            }
            Fault::Unmanned { drone, away } => {
                self.on(drone, |machine| {
                    machine.unmanned = true;
                    machine.crash(Process::Supervisor);
                });
                self.at(now + away, over(Ended::Unmanned(drone)));
            }
            Fault::Cut { drone, up, down, away } => {
                let link = &mut self.network.links[drone];
                (link.cut_up, link.cut_down) = (up, down);
                self.at(now + away, over(Ended::Cut(drone)));
            }
            Fault::Split { away } => {
                for link in self.network.links.iter_mut().skip(1) {
                    (link.cut_up, link.cut_down) = (true, true);
                }
                self.at(now + away, over(Ended::Split));
            }
            Fault::Slow { drone, by, away } => {
                self.network.links[drone].slow = by;
                self.at(now + away, over(Ended::Slow(drone)));
            }
            Fault::BusDown { away } => {
                self.network.down = true;
                self.at(now + away, over(Ended::Bus));
            }
            Fault::Noise { drop_ppm, double_ppm, away } => {
                (self.network.drop_ppm, self.network.double_ppm) = (drop_ppm, double_ppm);
                self.at(now + away, over(Ended::Noise));
            }
            Fault::DiskFull { drone, away } => {
                self.machines[drone].disk_full = true;
                self.at(now + away, over(Ended::Disk(drone)));
            }
            Fault::SyncedByHand { drone } => self.machines[drone].sync_by_hand(),
            Fault::ClockJump { by } => self.controller.wall_ahead += by,
            Fault::Over(ended) => self.over(ended),
        }
    }

    pub(super) fn on(&mut self, drone: usize, act: impl FnOnce(&mut Machine)) {
        act(&mut self.machines[drone]);
        self.serve(drone);
    }

    pub(super) fn over(&mut self, ended: Ended) {
        let now = self.now;
        match ended {
            Ended::CrashLoop(drone) => self.machines[drone].crashing = false,
            Ended::Unmanned(drone) => self.on(drone, |machine| {
                machine.unmanned = false;
                machine.start_supervisor(now);
            }),
            Ended::Cut(drone) => {
                let link = &mut self.network.links[drone];
                (link.cut_up, link.cut_down) = (false, false);
            }
            Ended::Split => {
                for link in &mut self.network.links {
                    (link.cut_up, link.cut_down) = (false, false);
                }
            }
            Ended::Slow(drone) => self.network.links[drone].slow = 0,
            Ended::Bus => self.network.down = false,
            Ended::Noise => (self.network.drop_ppm, self.network.double_ppm) = (0, 0),
            Ended::Disk(drone) => self.machines[drone].disk_full = false,
            Ended::Controller => {
                if !self.controller.is_up() {
                    self.wake = None;
                    let out = self.controller.start(now);
                    self.release(out);
                }
            }
        }
    }
}
