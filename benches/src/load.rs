//! Load on one server for a short while, and what it cost that server. The load is made by one thread of this
//! process; the server's processor time is read from the kernel, so what the load costs is not counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use crate::Outcome;
use crate::child::Child;
use crate::wire::{Answer, Wire};

/// Requests under way at any time.
pub const CONNECTIONS: usize = 64;

/// What one connection says.
pub trait Talk {
    /// The next request; `None` when there is nothing left to say.
    fn next(&mut self) -> Option<Arc<[u8]>>;

    /// What came back with status 200.
    ///
    /// # Errors
    /// When it is not what should have come.
    fn heard(&mut self, _answer: Answer) -> Outcome<()> {
        Ok(())
    }
}

/// What a load cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub requests: usize,
    /// Processor microseconds of the server for each.
    pub cpu_us: f64,
    pub per_second: f64,
}

/// Lets every connection talk for a while, each asking again as soon as it was answered.
pub async fn load(server: &Child, talks: Vec<Box<dyn Talk>>, span: Duration) -> Outcome<Cost> {
    let mut open = Vec::new();
    for talk in talks {
        open.push((Wire::open(server.address).await?, talk));
    }
    let (cpu, began) = (server.cpu()?, Instant::now());
    let until = began + span;
    let local = LocalSet::new();
    let spoken: Vec<_> =
        open.into_iter().map(|(wire, talk)| local.spawn_local(speak(wire, talk, until))).collect();
    local.await;
    let (lasted, used) = (began.elapsed(), server.cpu()? - cpu);
    let mut requests = 0;
    for one in spoken {
        requests += one.await?.map_err(|why| format!("{} under load: {why}", server.address))?;
    }
    Ok(Cost {
        requests,
        cpu_us: used.as_secs_f64() * 1e6 / requests as f64,
        per_second: requests as f64 / lasted.as_secs_f64(),
    })
}

async fn speak(mut wire: Wire, mut talk: Box<dyn Talk>, until: Instant) -> Result<usize, String> {
    let mut asked = 0;
    while Instant::now() < until {
        let Some(request) = talk.next() else { break };
        let answer = wire.call(&request).await.map_err(|why| why.to_string())?;
        if !(200..300).contains(&answer.status) {
            return Err(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)));
        }
        talk.heard(answer).map_err(|why| why.to_string())?;
        asked += 1;
    }
    Ok(asked)
}
