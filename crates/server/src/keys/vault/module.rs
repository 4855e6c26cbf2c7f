//! A PKCS#11 module, loaded once. `C_Initialize` and `C_Finalize` concern the whole process, so there is one of
//! these for each library however many servers run in it, and whoever begins again has it for itself.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};

static LOADED: LazyLock<Mutex<HashMap<PathBuf, Arc<Module>>>> = LazyLock::new(Mutex::default);
/// How often a module is begun again at most: everybody's sessions end with it.
const REST: Duration = Duration::from_secs(3);

pub(super) struct Module {
    state: RwLock<State>,
}

struct State {
    pkcs11: Pkcs11,
    /// Sessions and handles of another one mean nothing, or worse, something else.
    generation: u64,
    began: Instant,
}

impl Module {
    /// Loads a library, or gives the one that is loaded.
    pub fn load(path: &Path) -> Result<Arc<Self>, Error> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = loaded.get(path) {
            return Ok(module.clone());
        }
        let pkcs11 = Pkcs11::new(path)?;
        begin(&pkcs11)?;
        let state = State { pkcs11, generation: 0, began: Instant::now() };
        let module = Arc::new(Self { state: RwLock::new(state) });
        loaded.insert(path.to_owned(), module.clone());
        Ok(module)
    }

    /// Works with it, while nobody begins it again.
    pub fn with<T>(&self, work: impl FnOnce(&Pkcs11, u64) -> T) -> T {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        work(&state.pkcs11, state.generation)
    }

    /// How often it has begun again.
    pub fn begun_again(&self) -> u64 {
        self.with(|_, generation| generation)
    }

    /// Ends it and begins again, which is how many modules find a token that went away and came back. Whoever
    /// saw an older generation is late; so is whoever comes too soon. Says whether it was done.
    pub fn begin_again(&self, seen: u64) -> bool {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.generation != seen || state.began.elapsed() < REST {
            return false;
        }
        state.generation += 1;
        state.began = Instant::now();
        // What goes wrong here goes wrong again at the next call, which says so.
        let _ = state.pkcs11.clone().finalize();
        let _ = begin(&state.pkcs11);
        true
    }
}

fn begin(pkcs11: &Pkcs11) -> Result<(), Error> {
    match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        done => done,
    }
}
