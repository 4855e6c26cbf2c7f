//! Where a feed's Redis is at this moment. With Sentinel or a cluster that changes, so it is asked for at each
//! new connection.
//!
//! All keys of a feed share a hash tag, so that in a cluster too one node holds all of them. Who answers is
//! believed as little as Redis itself.

use std::{io, time::Duration};

use redis::{
    Client, Cmd, Connection, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo as _, RedisError, RedisResult, ServerErrorKind, Value,
};
use url::Url;

/// Each of those who are asked may take so long.
const WITHIN: Duration = Duration::from_millis(500);

/// An address that has been read.
#[derive(Clone)]
pub struct Whereabouts {
    way: Way,
    /// Whom to ask, in this order; the first alone when nobody has to be asked.
    nodes: Vec<ConnectionInfo>,
}

#[derive(Clone)]
enum Way {
    Fixed,
    /// The name by which the sentinels know it, and how to talk to what they find.
    Sentinel {
        service: String,
        master: Box<ConnectionInfo>,
    },
    /// A key of the feed; which one does not matter.
    Cluster {
        key: String,
    },
}

impl Whereabouts {
    /// Reads one of these, each also as `rediss` for TLS:
    ///
    /// - `redis://[user[:password]@]host[:port][/database]`
    /// - `redis+sentinel://[user[:password]@]host[:port]/service[/database][?nodes=host:port,...]`
    /// - `redis+cluster://[user[:password]@]host[:port][?nodes=host:port,...]`
    ///
    /// # Errors
    /// An address that is none of them; it is not repeated, because it may hold a password.
    pub fn parse(address: &str, feed: &str) -> io::Result<Self> {
        Self::read(address, feed)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the address of Redis cannot be read"))
    }

    fn read(address: &str, feed: &str) -> Option<Self> {
        let (scheme, _) = address.split_once(':')?;
        let Some((plain, kind)) = scheme.split_once('+') else {
            return Some(Self { way: Way::Fixed, nodes: vec![address.into_connection_info().ok()?] });
        };
        let mut url = Url::parse(address).ok()?;
        let path = url.path().trim_matches('/').to_owned();
        let others = url.query_pairs().find(|(name, _)| name == "nodes").map(|(_, nodes)| nodes.into_owned());
        url.set_query(None);
        url.set_path("");
        let behind = url.as_str().strip_prefix(scheme)?.to_owned();
        let plain_url = |database: &str| format!("{plain}{behind}/{database}");
        let (way, first) = match kind {
            "cluster" if path.is_empty() => (
                Way::Cluster { key: format!("rv:{{{feed}}}:log") },
                plain_url("").into_connection_info().ok()?,
            ),
            "sentinel" => {
                let (service, database) = path.split_once('/').unwrap_or((&path, "0"));
                let master = Box::new(plain_url(database).into_connection_info().ok()?);
                let way = Way::Sentinel { service: service.to_owned(), master };
                (way, plain_url("0").into_connection_info().ok()?)
            }
            _ => return None,
        };
        if matches!(&way, Way::Sentinel { service, .. } if service.is_empty()) {
            return None;
        }
        let mut nodes = vec![first.clone()];
        for node in others.iter().flat_map(|nodes| nodes.split(',')).filter(|node| !node.is_empty()) {
            let (host, port) = node.rsplit_once(':')?;
            nodes.push(first.clone().set_addr(elsewhere(first.addr(), host, port.parse().ok()?)));
        }
        Some(Self { way, nodes })
    }

    /// Whether it can be somewhere else tomorrow.
    pub fn moves(&self) -> bool {
        !matches!(self.way, Way::Fixed)
    }

    /// Finds it, with connections that `open` prepares; blocks, half a second for each who does not answer.
    ///
    /// # Errors
    /// Nobody knew, or the last of them was not to be reached.
    pub fn find(&self, open: impl Fn(ConnectionInfo) -> RedisResult<Client>) -> RedisResult<ConnectionInfo> {
        let mut trouble = unknown();
        for node in &self.nodes {
            let found = match &self.way {
                Way::Fixed => return Ok(node.clone()),
                Way::Sentinel { service, master } => ask_sentinel(node, service, master, &open),
                Way::Cluster { key } => ask_cluster(node, key, &open),
            };
            match found {
                Ok(found) => return Ok(found),
                Err(why) => trouble = why,
            }
        }
        Err(trouble)
    }
}

/// A master that says so itself: what a sentinel knows may be of yesterday.
fn ask_sentinel(
    node: &ConnectionInfo,
    service: &str,
    master: &ConnectionInfo,
    open: impl Fn(ConnectionInfo) -> RedisResult<Client>,
) -> RedisResult<ConnectionInfo> {
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
    // Most sentinels ask for no password, and say no to one.
    let bare = node.clone().set_redis_settings(Default::default());
    let answer = match ask(bare, &open, &question) {
        Err(why) if why.code() == Some("NOAUTH") => ask(node.clone(), &open, &question),
        answer => answer,
    };
    let Some((host, port)) = answer? else { return Err(unknown()) };
    let (host, port): (String, String) = (host, port);
    let port = port.parse().map_err(|_| unknown())?;
    let found = master.clone().set_addr(elsewhere(node.addr(), &host, port));
    let role: Vec<Value> = ask(found.clone(), &open, &redis::cmd("ROLE"))?;
    match role.into_iter().next().map(String::from_redis_value) {
        Some(Ok(role)) if role == "master" => Ok(found),
        _ => Err(unknown()),
    }
}

/// The node that has the key's slot.
fn ask_cluster(
    node: &ConnectionInfo,
    key: &str,
    open: impl Fn(ConnectionInfo) -> RedisResult<Client>,
) -> RedisResult<ConnectionInfo> {
    let mut connection = connect(node.clone(), open)?;
    let slot: u16 = redis::cmd("CLUSTER").arg("KEYSLOT").arg(key).query(&mut connection)?;
    let ranges: Vec<Value> = redis::cmd("CLUSTER").arg("SLOTS").query(&mut connection)?;
    let (host, port) = ranges.iter().find_map(|range| master_of(range, slot)).ok_or_else(unknown)?;
    // A node that does not know its own name is where it was asked.
    let host = if host.is_empty() { host_of(node.addr()) } else { host };
    Ok(node.clone().set_addr(elsewhere(node.addr(), &host, port)))
}

/// One line of `CLUSTER SLOTS`: first and last slot, then nodes, of which the first is the master.
fn master_of(range: &Value, slot: u16) -> Option<(String, u16)> {
    let Value::Array(line) = range else { return None };
    let (first, last) = (number(line.first()?)?, number(line.get(1)?)?);
    let Value::Array(master) = line.get(2)? else { return None };
    if !(first..=last).contains(&slot) {
        return None;
    }
    let host = match master.first()? {
        Value::Nil => String::new(),
        host => String::from_redis_value(host.clone()).ok()?,
    };
    Some((host, number(master.get(1)?)?))
}

fn number(value: &Value) -> Option<u16> {
    u16::from_redis_value(value.clone()).ok()
}

fn ask<T: FromRedisValue>(
    node: ConnectionInfo,
    open: impl Fn(ConnectionInfo) -> RedisResult<Client>,
    question: &Cmd,
) -> RedisResult<T> {
    question.query(&mut connect(node, open)?)
}

fn connect(
    node: ConnectionInfo,
    open: impl Fn(ConnectionInfo) -> RedisResult<Client>,
) -> RedisResult<Connection> {
    let connection = open(node)?.get_connection_with_timeout(WITHIN)?;
    connection.set_read_timeout(Some(WITHIN))?;
    connection.set_write_timeout(Some(WITHIN))?;
    Ok(connection)
}

/// The same way of talking, to somebody else.
fn elsewhere(like: &ConnectionAddr, host: &str, port: u16) -> ConnectionAddr {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    match like {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    }
}

fn host_of(address: &ConnectionAddr) -> String {
    match address {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => String::new(),
    }
}

fn unknown() -> RedisError {
    (ErrorKind::Server(ServerErrorKind::ClusterDown), "nobody knows where this feed's Redis is").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(address: &str) -> Vec<String> {
        let found = Whereabouts::parse(address, "live:eu1").expect("an address");
        found.nodes.iter().map(|node| node.addr().to_string()).collect()
    }

    #[test]
    fn a_plain_address_is_where_it_says() {
        let fixed = Whereabouts::parse("redis://u:p@redis.internal:6380/2", "live:eu1").unwrap();
        assert!(!fixed.moves());
        let found = fixed.find(Client::open).unwrap();
        assert_eq!(
            (found.addr().to_string().as_str(), found.redis_settings().db()),
            ("redis.internal:6380", 2)
        );
    }

    #[test]
    fn all_sentinels_and_nodes_are_known() {
        assert_eq!(
            nodes("redis+sentinel://u:p@s1:26379/main/2?nodes=s2:26379,s3:26380"),
            ["s1:26379", "s2:26379", "s3:26380"]
        );
        assert_eq!(nodes("rediss+cluster://n1:6379?nodes=[::1]:6380"), ["n1:6379", "::1:6380"]);
    }

    #[test]
    fn a_sentinel_finds_what_has_the_password_and_the_database() {
        let read = Whereabouts::parse("rediss+sentinel://u:p%2F@s1:26379/main/2", "live:eu1").unwrap();
        let Way::Sentinel { service, master } = read.way else { panic!("it is a sentinel's") };
        let settings = master.redis_settings();
        assert_eq!((service.as_str(), settings.db()), ("main", 2));
        assert_eq!((settings.username(), settings.password()), (Some("u"), Some("p/")));
        assert!(matches!(master.addr(), ConnectionAddr::TcpTls { .. }));
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for wrong in [
            "redis+sentinel://hush@s1:26379",
            "redis+cluster://n1:6379/3",
            "redis+hush://n1:6379",
            "redis+cluster://n1:6379?nodes=n2",
            "http://hush@host",
            "hush",
        ] {
            let why = Whereabouts::parse(wrong, "live:eu1").err().expect(wrong);
            assert!(!why.to_string().contains("hush"));
        }
    }

    #[test]
    fn the_slot_tells_the_master() {
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port)]);
        let host = Value::BulkString(b"n2".to_vec());
        let range = Value::Array(vec![
            Value::Int(100),
            Value::Int(200),
            node(host, 6379),
            node(Value::BulkString(b"n3".to_vec()), 6380),
        ]);
        assert_eq!(master_of(&range, 100), Some(("n2".into(), 6379)));
        assert_eq!(master_of(&range, 201), None);
        let nameless = Value::Array(vec![Value::Int(0), Value::Int(9), node(Value::Nil, 1)]);
        assert_eq!(master_of(&nameless, 5), Some((String::new(), 1)));
        assert_eq!(master_of(&Value::Array(vec![Value::Nil]), 5), None);
    }
}
