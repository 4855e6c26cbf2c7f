//! A Redis that is somewhere else tomorrow: a master that Sentinel replaces, and a cluster's slot that moves.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use portcullis::testing::Scratch;
use portcullis_tests::ports::free_port;

use crate::child::{Redis, with_redis, with_redis_like, within};
use crate::town::{SOON, Town};

const LOG: &str = "rv:{live:eu1}:log";
const BOUND: Duration = Duration::from_secs(10);

/// A process that watches one master under the name `main` and replaces it after half a second of silence.
struct Sentinel {
    child: Child,
    port: u16,
    _scratch: Scratch,
}

impl Sentinel {
    fn watch(master: &Redis) -> Self {
        let (scratch, port) = (Scratch::new(), free_port().unwrap());
        let file = scratch.path().join("sentinel.conf");
        let settings = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n",
            master.port
        );
        std::fs::write(&file, settings).unwrap();
        let child = Command::new("redis-server")
            .arg(&file)
            .args(["--sentinel", "--dir"])
            .arg(scratch.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let sentinel = Self { child, port, _scratch: scratch };
        let known = || sentinel.replicas().is_some_and(|replicas| replicas > 0);
        assert!(within(SOON, known), "the sentinel hears of the replica from its master");
        sentinel
    }

    fn url(&self) -> String {
        // The first has never been there.
        format!("redis+sentinel://127.0.0.1:1/main?nodes=127.0.0.1:{}", self.port)
    }

    /// How many replicas it could promote.
    fn replicas(&self) -> Option<usize> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).ok()?;
        let mut connection = client.get_connection_with_timeout(Duration::from_millis(500)).ok()?;
        let known: Vec<redis::Value> =
            redis::cmd("SENTINEL").arg("REPLICAS").arg("main").query(&mut connection).ok()?;
        Some(known.len())
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // One that has ended already has nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a test's body with this many nodes that know each other; the last has all slots.
fn with_cluster(nodes: usize, body: &mut dyn FnMut(&[Redis])) {
    fn grow(grown: Vec<Redis>, nodes: usize, body: &mut dyn FnMut(&[Redis])) {
        if grown.len() == nodes {
            meet(&grown);
            return body(&grown);
        }
        let bus = free_port().unwrap().to_string();
        let arguments = ["--save", "", "--cluster-enabled", "yes", "--cluster-port", &bus];
        with_redis_like(&arguments, |redis| {
            let mut grown = grown;
            grown.push(redis);
            grow(grown, nodes, body);
        });
    }
    grow(Vec::new(), nodes, body);
}

fn meet(nodes: &[Redis]) {
    let owner = nodes.last().expect("a cluster has nodes");
    let _: String = owner.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    for node in &nodes[..nodes.len() - 1] {
        let bus: Vec<String> = node.ask(&["CONFIG", "GET", "cluster-port"]);
        let _: String = owner.ask(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), &bus[1]]);
    }
    for node in nodes {
        assert!(within(SOON, || is_well(node, nodes.len())), "the cluster comes together");
    }
}

fn is_well(node: &Redis, size: usize) -> bool {
    let info: String = node.ask(&["CLUSTER", "INFO"]);
    info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{size}"))
}

/// What changes its role drops its connections; then it is asked again.
fn is_master(redis: &Redis) -> bool {
    let info = redis::Client::open(redis.url())
        .and_then(|client| client.get_connection_with_timeout(Duration::from_millis(500)))
        .and_then(|mut connection| redis::cmd("INFO").arg("replication").query::<String>(&mut connection));
    info.is_ok_and(|info| info.contains("role:master"))
}

#[test]
fn a_master_that_sentinel_replaces_is_found_again() {
    with_redis(|mut first| {
        with_redis(|second| {
            let _: String = second.ask(&["REPLICAOF", "127.0.0.1", &first.port.to_string()]);
            let sentinel = Sentinel::watch(&first);
            let town = Town::new(&sentinel.url());
            let watch = town.guard_on(&sentinel.url(), BOUND).ready(&town.token());
            let (before, during, after) = (town.token(), town.token(), town.token());
            town.revoke(&before);
            assert!(within(SOON, || watch.knows_end_of(&before)));

            first.kill();
            assert!(town.revoke(&during) < Duration::from_secs(1), "no client waits for Redis");
            assert!(within(SOON, || is_master(&second)), "the sentinel promotes the replica");
            assert!(within(SOON, || watch.knows_end_of(&during)), "{:?}", watch.counts());
            town.revoke(&after);
            assert!(within(SOON, || watch.knows_end_of(&after)), "{:?}", watch.counts());
            assert!(watch.is_live());
        });
    });
}

#[test]
fn a_demoted_master_that_still_answers_is_left() {
    with_redis(|first| {
        with_redis(|second| {
            let _: String = second.ask(&["REPLICAOF", "127.0.0.1", &first.port.to_string()]);
            let sentinel = Sentinel::watch(&first);
            let town = Town::new(&sentinel.url());
            let watch = town.guard_on(&sentinel.url(), BOUND).ready(&town.token());
            let token = town.token();
            let client = redis::Client::open(format!("redis://127.0.0.1:{}", sentinel.port)).unwrap();
            let mut connection = client.get_connection().unwrap();
            redis::cmd("SENTINEL").arg("FAILOVER").arg("main").exec(&mut connection).unwrap();
            assert!(within(SOON, || is_master(&second)), "the sentinel promotes the replica");
            town.revoke(&token);
            assert!(within(SOON, || watch.knows_end_of(&token)), "{:?}", watch.counts());
        });
    });
}

#[test]
fn a_feed_in_a_cluster_is_found_from_any_node_and_followed_to_another() {
    with_cluster(3, &mut |nodes| {
        let [stranger, heir, owner] = nodes else { panic!("three nodes") };
        let url = format!("redis+cluster://127.0.0.1:{}", stranger.port);
        let town = Town::new(&url);
        let watch = town.guard_on(&url, BOUND).ready(&town.token());
        let (before, after) = (town.token(), town.token());
        town.revoke(&before);
        assert!(within(SOON, || watch.knows_end_of(&before)), "{:?}", watch.counts());
        assert!(owner.ask::<u64>(&["EXISTS", LOG]) == 1, "it stands where its slot is");

        let id: String = owner.ask(&["CLUSTER", "MYID"]);
        let _: String = heir.ask(&["CLUSTER", "REPLICATE", &id]);
        let follows = || heir.ask::<String>(&["INFO", "replication"]).contains("master_link_status:up");
        assert!(within(SOON, follows), "the heir has a copy");
        let _: String = heir.ask(&["CLUSTER", "FAILOVER", "TAKEOVER"]);
        assert!(within(SOON, || is_master(heir) && !is_master(owner)), "the slot moves");
        // The stranger hears of it from the others.
        sleep(Duration::from_millis(100));
        town.revoke(&after);
        assert!(within(SOON, || watch.knows_end_of(&after)), "{:?}", watch.counts());
        assert!(watch.is_live());
    });
}
