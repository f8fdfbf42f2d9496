//! Partner applications.
//!
//! Invariant: an application is found by the digest of its token, which is stored nowhere.

use model::{Application, ApplicationName, SecretDigest};

use crate::{
    Store, StoreError,
    backend::conn::Conn,
    tables::applications,
    write::lock_order::{LockOrder, Write},
};

impl Store {
    /// Registers an application.
    ///
    /// # Errors
    /// `Conflict` when there is one of that name.
    pub async fn add_application(
        &self,
        application: Application,
        token: SecretDigest,
    ) -> Result<(), StoreError> {
        let clock = self.0.clock;
        self.0
            .writer
            .run(Write::of(LockOrder::Nothing), move |conn| {
                applications::insert(conn, clock.now(), &application, &token)
            })
            .await
    }

    /// The application with this token, disabled or not.
    pub async fn application(
        &self,
        token: SecretDigest,
    ) -> Result<Option<Application>, StoreError> {
        self.0.readers.application(token).await
    }

    /// The application of this name, disabled or not.
    pub async fn application_named(
        &self,
        name: ApplicationName,
    ) -> Result<Option<Application>, StoreError> {
        self.0.readers.application_named(name).await
    }

    /// Every application.
    pub async fn applications(&self) -> Result<Vec<Application>, StoreError> {
        self.0.readers.run(applications::list).await
    }

    /// Shuts an application out, or lets it in again.
    ///
    /// # Errors
    /// `NotFound` when there is none of that name.
    pub async fn set_application_disabled(
        &self,
        name: ApplicationName,
        is_disabled: bool,
    ) -> Result<(), StoreError> {
        let clock = self.0.clock;
        let change = move |conn: &mut Conn| {
            applications::set_disabled(conn, clock.now(), &name, is_disabled)
        };
        self.0.writer.run(Write::of(LockOrder::Nothing), change).await
    }
}
