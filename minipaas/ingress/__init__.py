"""The data path: an HTTP/1.1 proxy with an atomic route table and drain."""

from minipaas.ingress.ingress import Ingress
from minipaas.ingress.limits import Limits
from minipaas.ingress.proof import ProofResult

__all__ = ["Ingress", "Limits", "ProofResult"]
