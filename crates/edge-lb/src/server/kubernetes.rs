//! Kubernetes: from what was typed to the driver and the discovery, which have a client; or, in a build without it, an error that says so.

#[cfg(not(feature = "kubernetes"))]
pub(super) use absent::{discovered, driver};
#[cfg(feature = "kubernetes")]
pub(super) use present::{discovered, driver};

#[cfg(feature = "kubernetes")]
mod present {
    use super::super::AssembleError;
    use lb_autoscale::Driver;
    use lb_autoscale::driver::kubernetes::{Access, Cluster, KubernetesDriver, KubernetesSettings, Workload};
    use lb_balancer::discover::kubernetes::{AddressFamily, KubernetesDiscovery, KubernetesService, PodPort};
    use lb_balancer::{LoadBalancerBuilder, ScaleEvents};
    use lb_config::{KubernetesApi, KubernetesPods, KubernetesWorkload, PodFamily, WorkloadKind};
    use std::sync::Arc;
    use std::time::Duration;

    /// The driver of this workload.
    pub(crate) fn driver(
        pool: &str,
        w: KubernetesWorkload,
        events: &ScaleEvents,
    ) -> Result<Arc<dyn Driver>, AssembleError> {
        let unknown = || AssembleError::ScaleDriverKind { pool: pool.to_owned() };
        let kind = match w.kind {
            WorkloadKind::Deployment => Workload::Deployment,
            WorkloadKind::StatefulSet => Workload::StatefulSet,
            _ => return Err(unknown()),
        };
        let settings = KubernetesSettings::new(w.name)
            .workload(kind)
            .namespace(w.namespace)
            .cluster(cluster(w.api, w.timeout).ok_or_else(unknown)?)
            .retry(w.retry);
        match KubernetesDriver::new(settings, Some(events.sink())) {
            Ok(driver) => Ok(Arc::new(driver)),
            Err(error) => Err(AssembleError::ScaleDriver { pool: pool.to_owned(), error }),
        }
    }

    /// The pool with the pods of this service.
    pub(crate) fn discovered(
        pool: &str,
        builder: LoadBalancerBuilder,
        pods: KubernetesPods,
    ) -> Result<LoadBalancerBuilder, AssembleError> {
        let unknown = || AssembleError::DiscoveryKind { pool: pool.to_owned() };
        let family = match pods.family {
            PodFamily::Either => AddressFamily::Either,
            PodFamily::Ipv4 => AddressFamily::Ipv4,
            PodFamily::Ipv6 => AddressFamily::Ipv6,
            _ => return Err(unknown()),
        };
        let port = match pods.port {
            lb_config::PodPort::Only => PodPort::Only,
            lb_config::PodPort::Named(name) => PodPort::Named(name),
            lb_config::PodPort::Number(port) => PodPort::Number(port),
            _ => return Err(unknown()),
        };
        let service = KubernetesService::new(pods.service)
            .namespace(pods.namespace)
            .port(port)
            .family(family)
            .cluster(cluster(pods.api, pods.timeout).ok_or_else(unknown)?);
        let wrong = |error| AssembleError::DiscoverySettings { pool: pool.to_owned(), error };
        Ok(builder.discover(KubernetesDiscovery::new(service).map_err(wrong)?))
    }

    /// `None`: a way to it that this version does not know.
    fn cluster(api: KubernetesApi, timeout: Duration) -> Option<Cluster> {
        let access = match api {
            KubernetesApi::Auto => Access::Auto,
            KubernetesApi::Kubeconfig { path, context } => Access::Kubeconfig { path, context },
            KubernetesApi::Url { url, token, ca } => Access::Url { url, token, ca_file: ca },
            _ => return None,
        };
        Some(Cluster::new(access).timeout(timeout))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn each_way_to_a_cluster_is_carried_over() {
            let second = Duration::from_secs(1);
            let access = |api| cluster(api, second).map(|c| (c.access, c.timeout));
            assert_eq!(access(KubernetesApi::Auto), Some((Access::Auto, second)));
            let (path, context) = (Some("a".into()), Some("b".to_owned()));
            let typed = lb_config::parse(
                "[[listeners]]\naddress = \"127.0.0.1:1\"\n[pools.a.discovery]\ntype = \"kubernetes\"\nservice = \"a\"\n\
                 api = { kubeconfig = \"a\", context = \"b\" }",
                lb_config::Format::Toml,
                "f",
            );
            let Ok(typed) = typed else { panic!("{typed:?}") };
            let Some(lb_config::Discovery::Kubernetes(pods)) = typed.pools["a"].discovery.clone() else {
                panic!("{typed:?}")
            };
            assert_eq!(access(pods.api), Some((Access::Kubeconfig { path, context }, second)));
        }
    }
}

#[cfg(not(feature = "kubernetes"))]
mod absent {
    use super::super::AssembleError;
    use lb_autoscale::Driver;
    use lb_balancer::{LoadBalancerBuilder, ScaleEvents};
    use lb_config::{KubernetesPods, KubernetesWorkload};
    use std::sync::Arc;

    fn error(pool: &str, section: &'static str) -> AssembleError {
        AssembleError::NotInBuild { pool: pool.to_owned(), section, feature: "kubernetes" }
    }

    /// There is none.
    pub(crate) fn driver(
        pool: &str,
        _: KubernetesWorkload,
        _: &ScaleEvents,
    ) -> Result<Arc<dyn Driver>, AssembleError> {
        Err(error(pool, "autoscale.driver"))
    }

    /// There is none.
    pub(crate) fn discovered(
        pool: &str,
        _: LoadBalancerBuilder,
        _: KubernetesPods,
    ) -> Result<LoadBalancerBuilder, AssembleError> {
        Err(error(pool, "discovery"))
    }
}
