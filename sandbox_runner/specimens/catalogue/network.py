"""Attacks on the network, the host's kernel, and what privileges there are."""

from contracts.failures import FailureReason as Reason
from contracts.names import IsolationTier
from sandbox_runner.specimens.specimen import Section, denied, fails

SECTION = Section(
    "Network and host",
    (
        denied(
            "tries_the_network",
            "Tries to reach anything at all, by every family of sockets.",
            essential=True,
        ),
        fails(
            "downloads_weights",
            "Wants pretrained weights from the internet.",
            Reason.BUILD_ERROR,
            "no network",
        ),
        denied(
            "escapes_its_namespaces",
            "Tries the system calls that lead out of a sandbox, or deep into the kernel.",
            essential=True,
        ),
        denied(
            "spies_on_processes",
            "Reads memory, environments and descriptors of whatever else it can see.",
            essential=True,
        ),
        denied(
            "borrows_from_the_host",
            "Looks for what else is installed on the host, and reaches for its kernel through shared files.",
            admitted={IsolationTier.DOCKER_RUNSC: ("BREACH the boot command",)},  # gVisor's, always the same
        ),
        denied(
            "tries_strange_socket_families",
            "Opens sockets of every family and kind: netlink, packets, cryptography, radio.",
        ),
        denied(
            "tries_services_of_the_host",
            "Tries the doors of a host by number: its databases, brokers, gateways, engines and agents.",
        ),
        denied(
            "resolves_names",
            "Asks for names in every way, and carries secrets out in the names that it asks for.",
        ),
        denied(
            "asks_the_metadata_service", "Asks the cloud for the credentials of the machine that it runs on."
        ),
        denied("forges_credentials", "Signs its messages on unix sockets as root and as process 1."),
        denied(
            "looks_for_container_engines",
            "Looks for the sockets of container engines, of their launcher and of the runner.",
        ),
        denied(
            "knocks_on_abstract_sockets",
            "Knocks on the abstract sockets of the host: its own, containerd's, X11's, the session bus'.",
        ),
        denied(
            "searches_the_environment_for_secrets",
            "Searches environments, command lines and its own first memory for tokens, passwords and keys.",
        ),
        fails(
            "loads_a_hub_repository",
            "Wants a repository of torch.hub, to run its code.",
            Reason.BUILD_ERROR,
            "no network",
        ),
        fails(
            "wants_pretrained_weights",
            "Wants a torchvision network with the weights that somebody else has trained.",
            Reason.BUILD_ERROR,
            "no network",
        ),
        fails(
            "installs_a_package", "Wants to install a package from the internet.", Reason.BUILD_ERROR, "pip"
        ),
        denied(
            "claims_a_release_agent",
            "Looks for control groups to leave, or to name a program in that the host runs.",
        ),
        fails(
            "downloads_a_dataset",
            "Wants a data set, with its test labels, in the middle of training.",
            Reason.TRAIN_ERROR,
            "no network",
        ),
    ),
)
