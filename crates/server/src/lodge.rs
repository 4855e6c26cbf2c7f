//! The lodge: what the operators' listener reaches beside the house. Made once by `serve.rs`.

use actix_web::web;
use portcullis_authority::desk::Desk;
use portcullis_authority::operators::{Porter, SessionTerms};
use portcullis_store::Store;

use crate::house::House;
use crate::settings::{Mode, Settings};

/// Shared by all handlers of `/admin/v1` as `web::Data<Lodge>`.
pub struct Lodge {
    pub house: web::Data<House>,
    /// The books, for questions that only operators ask.
    pub store: Store,
    /// When this server began, seconds.
    pub began: u64,
}

impl Lodge {
    pub fn new(house: web::Data<House>, store: Store) -> Self {
        let began = house.authority.desk().now();
        Self { house, store, began }
    }

    pub fn desk(&self) -> &Desk {
        self.house.authority.desk()
    }

    pub fn settings(&self) -> &Settings {
        &self.house.settings
    }

    /// Who lets operators in.
    pub fn porter(&self) -> Porter<'_> {
        let admin = &self.settings().admin;
        Porter {
            desk: self.desk(),
            staff: &self.store,
            terms: SessionTerms {
                idle: admin.session_idle.into(),
                absolute: admin.session_lifetime.into(),
                demo: self.settings().mode != Mode::Production,
            },
        }
    }
}
