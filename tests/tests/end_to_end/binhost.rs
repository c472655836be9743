//! The binhost of a real controller, used by real Portage: what the public may not have, what people bring, what is damaged,
//! networks that break.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use swarm_tests::client::Client;
use swarm_tests::{Setup, Swarm, until};

/// A build with its dependencies on two busy cores.
const BUILD: Duration = Duration::from_secs(150);
/// Something the controller does by itself.
const SOON: Duration = Duration::from_secs(60);

/// However full the machine's disk is.
fn swarm_of(drones: usize) -> Result<Swarm> {
    Setup { drones, tables: "[binhost]\nmin_free_percent = 0".to_owned(), ..Setup::default() }.start()
}

/// The one index, as `swarm binhost show` has it.
fn index_of(swarm: &Swarm) -> Result<Value> {
    let shown = swarm.http.get("/api/v1/binhost")?;
    Ok(shown["indexes"][0].clone())
}

fn key_of(swarm: &Swarm) -> Result<String> {
    swarm.http.text("/api/v1/binhost/key.asc")
}

/// What a command that succeeds prints.
fn told(swarm: &Swarm, arguments: &[&str]) -> Result<String> {
    let (status, said) = swarm.tried(arguments)?;
    ensure!(status == 0, "swarm {arguments:?} ended with {status}: {said}");
    Ok(said)
}

/// What stands below a folder and holds a text.
fn files_with(folder: &Path, text: &str) -> Result<Vec<PathBuf>> {
    let found = std::process::Command::new("grep").args(["-rlFsa", text]).arg(folder).output()?;
    Ok(String::from_utf8(found.stdout)?.lines().map(PathBuf::from).collect())
}

#[test]
fn restricted_packages_reach_drones_and_whoever_may_and_nobody_else() -> Result<()> {
    let swarm = swarm_of(2)?;
    swarm.queue(&["app-misc/royal-jelly"])?;
    swarm.until_state("=app-misc/royal-jelly", "received", BUILD)?;
    // the cake is for the drone that has no jelly yet
    let history = swarm.http.get("/api/v1/history?limit=10&status=success")?;
    told(&swarm, &["drone", "pause", history["history"][0]["drone_name"].as_str().context("a drone")?])?;
    swarm.queue(&["app-misc/royal-cake"])?;
    swarm.until_state("=app-misc/royal-cake", "received", BUILD)?;
    let log = told(&swarm, &["log", "app-misc/royal-cake"])?;
    ensure!(log.contains(">>> Emerging binary (1 of 2) app-misc/royal-jelly"), "the drone had it as a binary: {log}");

    let index = index_of(&swarm)?;
    let name = index["index"].as_str().context("a name")?;
    ensure!((&index["packages"], &index["restricted"]) == (&2.into(), &1.into()), "{index}");
    let public = swarm.http.text(&format!("/binhost/{name}/Packages"))?;
    let lists = |package: &str| public.lines().any(|line| line == format!("CPV: app-misc/{package}-1.0"));
    ensure!(lists("royal-cake") && !lists("royal-jelly"), "{public}");
    let jelly = "app-misc/royal-jelly/royal-jelly-1.0-1.gpkg.tar";
    for (path, status) in [("binhost", 404), ("binhost-private", 401)] {
        let error = swarm.http.text(&format!("/{path}/{name}/{jelly}")).unwrap_err().to_string();
        ensure!(error.contains(&status.to_string()), "{error}");
    }
    let url = index["url"].as_str().context("an address")?;
    let roots = swarm.dir().join("roots");
    let stranger = Client::make(roots.join("c1"), Some((url, &key_of(&swarm)?)))?;
    stranger.emerged(&["--getbinpkgonly", "app-misc/royal-cake"])?;
    let (output, said) = stranger.emerge(&["--getbinpkgonly", "app-misc/royal-jelly"])?;
    ensure!(!output.status.success() && !stranger.has("app-misc/royal-jelly-1.0"), "{said}");

    // a friend does what `swarm binhost show --private` says, with the file in the prefix
    let friend = Client::make(roots.join("c2"), Some((url, &key_of(&swarm)?)))?;
    let wgetrc = friend.portage("swarm-binhost.wgetrc");
    let private = json(&told(&swarm, &["binhost", "show", "--private", "--json"])?)?;
    let snippet = private["indexes"][0]["snippet"].as_str().context("a snippet")?;
    friend.binrepos(&snippet.replace("/etc/portage/swarm-binhost.wgetrc", &wgetrc.display().to_string()))?;
    fs_err::write(&wgetrc, told(&swarm, &["binhost", "credentials"])?)?;
    fs_err::set_permissions(&wgetrc, PermissionsExt::from_mode(0o600))?;
    ensure!(private["secret"] == "", "the secret is printed on its own only: {private}");
    let said = friend.emerged(&["--getbinpkgonly", "app-misc/royal-jelly", "app-misc/royal-cake"])?;
    ensure!(friend.has("app-misc/royal-jelly-1.0") && friend.has("app-misc/royal-cake-1.0"), "{said}");

    let secret = fs_err::read_to_string(swarm.data().join("keys/binhost-private.secret"))?.trim().to_owned();
    ensure!(secret.len() == 48 && !said.contains(&secret));
    let places = files_with(swarm.dir(), &secret)?;
    ensure!(places.len() >= 3, "the search finds what there is: {places:?}");
    for place in places {
        let mode = fs_err::metadata(&place)?.permissions().mode();
        ensure!(mode & 0o077 == 0, "others can read the secret in {}", place.display());
        ensure!(!place.display().to_string().contains("log"), "the secret is in a log: {}", place.display());
    }
    Ok(())
}

/// A PKGDIR somebody has: two packages of real Portage, one of them restricted, and things that are no packages.
fn somebodys_pkgdir(dir: &Path) -> Result<Client> {
    let somebody = Client::make(dir.join("roots/c9"), None)?;
    somebody.emerged(&["--buildpkg", "dev-libs/libcomb", "app-misc/royal-jelly"])?;
    let pkgdir = somebody.pkgdir();
    let library = pkgdir.join("dev-libs/libcomb/libcomb-1.2-1.gpkg.tar");
    let mut bytes = fs_err::read(&library)?;
    bytes[2_000] ^= 1;
    fs_err::write(pkgdir.join("dev-libs/libcomb/libcomb-1.2-2.gpkg.tar"), bytes)?;
    fs_err::write(pkgdir.join("dev-libs/libcomb/libcomb-1.2-3.gpkg.tar"), "")?;
    fs_err::write(pkgdir.join("dev-libs/old-1.tbz2"), "xpak")?;
    Ok(somebody)
}

fn json(said: &str) -> Result<Value> {
    serde_json::from_str(said).with_context(|| said.to_owned())
}

#[test]
fn what_people_have_is_brought_once_rechecked_and_built_again_when_it_breaks() -> Result<()> {
    let swarm = swarm_of(1)?;
    let somebody = somebodys_pkgdir(swarm.dir())?;
    let pkgdir = somebody.pkgdir().display().to_string();
    let count =
        |answer: &Value| ["imported", "would_import", "present", "refused", "failed"].map(|key| answer[key].as_u64());
    let import = |more: &[&str]| -> Result<(i32, Value)> {
        let (status, said) = swarm.tried(&[&["binhost", "import", &pkgdir, "--json"], more].concat())?;
        Ok((status, json(&said)?))
    };
    let (status, tried) = import(&["--dry-run"])?;
    ensure!((status, count(&tried)) == (1, [Some(0), Some(2), Some(0), Some(3), Some(0)]), "{tried}");
    ensure!(swarm.http.get("/api/v1/binhost/packages")?["total"] == 0, "trying changes nothing");
    let (status, done) = import(&[])?;
    ensure!((status, count(&done)) == (1, [Some(2), Some(0), Some(0), Some(3), Some(0)]), "{done}");
    let reasons: Vec<&str> =
        done["files"].as_array().context("files")?.iter().filter_map(|file| file["reason"].as_str()).collect();
    for expected in ["is not what the Manifest says", "is empty", "is an xpak package"] {
        ensure!(reasons.iter().any(|reason| reason.contains(expected)), "{expected}: {reasons:?}");
    }
    let (_, again) = import(&[])?;
    ensure!(count(&again) == [Some(0), Some(0), Some(2), Some(3), Some(0)], "{again}");

    let index = index_of(&swarm)?;
    ensure!((&index["packages"], &index["restricted"]) == (&2.into(), &1.into()), "{index}");
    let url = index["url"].as_str().context("an address")?;
    let client = Client::make(swarm.dir().join("roots/c1"), Some((url, &key_of(&swarm)?)))?;
    client.emerged(&["--getbinpkgonly", "dev-libs/libcomb"])?;
    // what was had from us is known when it is brought back
    let (_, back) =
        swarm.tried(&["binhost", "import", &client.root.join("var/cache/binhost").display().to_string(), "--json"])?;
    ensure!(json(&back)?["present"] == 1, "{back}");

    // pinned, it is not removed; unpinned, it is; its file stays for those who hold an older index
    let list = swarm.http.get("/api/v1/binhost/packages?package=libcomb")?;
    let (id, path) = (list["packages"][0]["id"].to_string(), list["packages"][0]["path"].as_str().unwrap_or_default());
    let file = swarm.data().join("binhost").join(index["index"].as_str().unwrap_or_default()).join(path);
    told(&swarm, &["binhost", "pin", &id])?;
    ensure!(told(&swarm, &["binhost", "list", "libcomb"])?.contains("pinned by"));
    ensure!(swarm.tried(&["binhost", "remove", &id])?.0 == 1);
    told(&swarm, &["binhost", "unpin", &id])?;

    let (status, said) = swarm.tried(&["binhost", "verify"])?;
    ensure!(status == 0 && said.contains("2 packages") && said.contains("all is as it should be"), "{said}");
    let mut bytes = fs_err::read(&file)?;
    bytes[7_000] ^= 1;
    fs_err::write(&file, bytes)?;
    let (status, said) = swarm.tried(&["binhost", "verify", "--rebuild"])?;
    ensure!(status == 0 && said.contains("has other content: left the index, queued again"), "{said}");
    until("the package to be built again", BUILD, || {
        let list = swarm.http.get("/api/v1/binhost/packages?package=libcomb")?;
        Ok((list["packages"][0]["build_id"] == 2 && list["packages"][0]["state"] == "published").then_some(()))
    })
    .map_err(|error| error.context(swarm.logs()))?;
    let public = swarm.http.text(&format!("/binhost/{}/Packages", index["index"].as_str().unwrap_or_default()))?;
    ensure!(public.contains("libcomb-1.2-2.gpkg.tar") && !public.contains("libcomb-1.2-1.gpkg.tar"), "{public}");

    // an index somebody edited
    let packages = swarm.data().join("binhost").join(index["index"].as_str().unwrap_or_default()).join("Packages");
    fs_err::write(&packages, public.replace("libcomb-1.2-2", "libcomb-1.2-9"))?;
    let (status, said) = swarm.tried(&["binhost", "verify"])?;
    ensure!(status == 0 && said.contains("written anew"), "{said}");
    until("the index to be mended", SOON, || {
        let text = swarm.http.text(&format!("/binhost/{}/Packages", index["index"].as_str().unwrap_or_default()))?;
        Ok(text.contains("libcomb-1.2-2.gpkg.tar").then_some(()))
    })
}

/// Between client and controller; breaks connections that bring a package.
struct Line {
    port: u16,
    /// Packages break off after so many bytes; none means that they pass.
    breaks_after: Arc<Mutex<Option<usize>>>,
    /// First lines and ranges of the requests.
    seen: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Line {
    fn to(port: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let line = Self {
            port: listener.local_addr()?.port(),
            breaks_after: Arc::default(),
            seen: Arc::default(),
            stop: Arc::default(),
        };
        let (breaks, seen, stop) = (line.breaks_after.clone(), line.seen.clone(), line.stop.clone());
        listener.set_nonblocking(true)?;
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((client, _)) => drop(pass(client, port, &breaks, &seen)),
                    Err(_) => std::thread::sleep(Duration::from_millis(10)),
                }
            }
        });
        Ok(line)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// One request, one answer: `Connection: close` keeps it so.
fn pass(mut client: TcpStream, port: u16, breaks: &Mutex<Option<usize>>, seen: &Mutex<Vec<String>>) -> Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") && client.read(&mut byte)? == 1 {
        request.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let first = text.lines().next().unwrap_or_default().to_owned();
    let range = text.lines().find(|line| line.to_ascii_lowercase().starts_with("range:")).unwrap_or_default();
    seen.lock().expect("not poisoned").push(format!("{first} {range}"));
    let kept: Vec<&str> =
        text.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:")).collect();
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    server.write_all(format!("{}\r\nConnection: close\r\n\r\n", kept.join("\r\n")).as_bytes())?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let limit = breaks.lock().expect("not poisoned").filter(|_| first.contains(".gpkg.tar"));
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |at| at + 4);
    let sent = limit.map_or(answer.len(), |limit| answer.len().min(head + limit));
    client.write_all(&answer[..if limit == Some(0) { 0 } else { sent }])?;
    Ok(())
}

#[test]
fn portage_goes_on_where_a_download_broke_off_and_sees_every_generation() -> Result<()> {
    let swarm = swarm_of(0)?;
    let somebody = Client::make(swarm.dir().join("roots/c9"), None)?;
    somebody.emerged(&["--buildpkg", "dev-libs/libcomb"])?;
    let pkgdir = somebody.pkgdir().display().to_string();
    told(&swarm, &["binhost", "import", &pkgdir])?;
    let index = index_of(&swarm)?;
    let line = Line::to(swarm.port())?;
    let url = format!("http://127.0.0.1:{}/binhost/{}", line.port, index["index"].as_str().context("a name")?);
    let client = Client::make(swarm.dir().join("roots/c1"), Some((&url, &key_of(&swarm)?)))?;
    client.emerged(&["--getbinpkgonly", "--pretend", "dev-libs/libcomb"])?;

    // each connection brings a little more, and wget goes on by itself
    *line.breaks_after.lock().expect("not poisoned") = Some(8_000);
    client.emerged(&["--getbinpkgonly", "dev-libs/libcomb"])?;
    let ranges = |line: &Line| -> Vec<String> {
        let seen = line.seen.lock().expect("not poisoned");
        seen.iter().filter(|one| one.contains(".gpkg.tar")).cloned().collect()
    };
    let first = ranges(&line);
    ensure!(first.len() > 1 && first.last().is_some_and(|one| one.contains("bytes=")), "{first:?}");

    // the network is gone in the middle: emerge fails, and the next one succeeds; Portage itself goes on from the
    // part it has only where its list of invalid packages names it, which it never does for gpkgs
    let other = Client::make(swarm.dir().join("roots/c2"), Some((&url, &key_of(&swarm)?)))?;
    *line.breaks_after.lock().expect("not poisoned") = Some(2_000);
    let (output, said) = other.emerge(&["--getbinpkgonly", "dev-libs/libcomb"])?;
    ensure!(!output.status.success() && !other.has("dev-libs/libcomb-1.2"), "{said}");
    *line.breaks_after.lock().expect("not poisoned") = None;
    line.seen.lock().expect("not poisoned").clear();
    other.emerged(&["--getbinpkgonly", "dev-libs/libcomb"])?;
    ensure!(other.has("dev-libs/libcomb-1.2") && !ranges(&line).is_empty());

    // a generation that follows at once is seen at once
    somebody.emerged(&["--buildpkg", "app-misc/moody"])?;
    told(&swarm, &["binhost", "import", &pkgdir])?;
    client.emerged(&["--getbinpkgonly", "app-misc/moody"])?;
    somebody.emerged(&["--buildpkg", "dev-util/hexgen"])?;
    told(&swarm, &["binhost", "import", &pkgdir])?;
    client.emerged(&["--getbinpkgonly", "dev-util/hexgen"])?;
    Ok(())
}
