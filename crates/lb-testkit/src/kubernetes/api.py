"""A Kubernetes API of kmock's emulator, on a port of its own or the one that is named, until stdin closes.

What kmock lacks and a client needs is added here: the answer of the `scale` subresource (kmock would answer with the workload itself), label
selectors of lists, and resource versions. It prints its port once it listens.
"""

import asyncio
import sys

import kmock

WORKLOADS = ("deployments", "statefulsets")
RESOURCES = {
    "apps/v1/deployments": ("Deployment", "deployment", "deploy", {"scale"}),
    "apps/v1/statefulsets": ("StatefulSet", "statefulset", "sts", {"scale"}),
    "discovery.k8s.io/v1/endpointslices": ("EndpointSlice", "endpointslice", "eps", set()),
}
VERBS = {"create", "delete", "get", "list", "patch", "watch"}


class Api(kmock.KubernetesEmulator):
    def scale_of(self, request):
        """The workload's replicas, as its `scale` says them; ready at once."""
        key = (request.resource, request.namespace, request.name)
        if key not in self.objects or self.objects[key].deleted:
            raise kmock.KubernetesObjectNotFoundError()
        workload = self.objects[key].raw
        replicas = workload.get("spec", {}).get("replicas", 1)
        return {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": request.name, "namespace": request.namespace},
            "spec": {"replicas": replicas},
            "status": {"replicas": replicas},
        }


async def main(port):
    async with Api() as api:
        for name, (kind, singular, short, subresources) in RESOURCES.items():
            api.resources[name] = {
                "kind": kind,
                "singular": singular,
                "shortnames": {short},
                "subresources": subresources,
                "verbs": VERBS,
                "namespaced": True,
            }
        api[kmock.subresource("scale")] << api.scale_of
        async with kmock.Server(api, port=port or None) as server:
            print(server.port, flush=True)
            reader = asyncio.StreamReader()
            loop = asyncio.get_running_loop()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
            await reader.read()


asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
