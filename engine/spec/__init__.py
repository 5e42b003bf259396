"""`StudySpec`: the whole design of a study, read strictly from ``study.toml``.

Required keys have no default; every other key has the default printed in the README. The known names of models, tests
and charts are handed in by the caller, so that this module depends on none of them.
"""

from engine.spec.claims import CertificateRule, Claim
from engine.spec.design import Factors, Known, StudySpec
from engine.spec.ends import End
from engine.spec.reading import parse_spec, read_spec

__all__ = ["CertificateRule", "Claim", "End", "Factors", "Known", "StudySpec", "parse_spec", "read_spec"]
