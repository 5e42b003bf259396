"""Ask tests at pseudo-dates: chunk by chunk of draws, each fitted once for all windows and tests.

Three nulls: pseudo-events as they are; the same with abnormal returns of mean zero and the study's own extra spread on the
days of the window, also with an effect added; and as they are where the run-up before was like the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from engine.abnormal import AbnormalReturns, Cars, abnormal_returns, cumulate, per_session, standard_errors, sums
from engine.beside import Beside, a_thread, gathered
from engine.certificate.draws import Drawn, panel_scale
from engine.certificate.parted import Parted, with_joint
from engine.certificate.standing_in import Pool, StandIns, firm_answers
from engine.pseudo_samples import PseudoSamples, Subject, pseudo_samples
from engine.samples import with_constant
from engine.sessions import Window
from engine.significance import REGRESSION_TESTS
from engine.significance.batch import BATCHED, BATCHED_EVENTS, Answers, Batch
from engine.significance.batch.correlation import Correlations, correlations
from engine.significance.batch.sample import Compared

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Kept = dict[str, object]
# (samples, abnormal returns, CARs, sample number, test, alternative) -> p; asks a test that has no batched form.
Single = Callable[[PseudoSamples, AbnormalReturns, Cars, int, str, str], float]

AS_THEY_ARE, SCALED, RUNUP = "as_they_are", "scaled", "runup_matched"
FIRMS = "firm_permutation"
ORDER = ", order"  # after the alternative: what orders the draws where the p-values end at a smallest one
AT_ONCE = 4_000_000  # numbers of one chunk
CORRELATED = frozenset({"kolari_pynnonen", "adjusted_patell"})
SHARED = frozenset({"kolari_pape_pynnonen"})


@dataclass(frozen=True)
class Asked:
    """What to ask in one window. tests: of groups with a batched form; events: of one event; single: of groups without one.

    scale: of the window's abnormal returns under `SCALED`. taus: (K,) effects, increasing, zero among them; few: those that
    tests without a batched form are asked with. alternatives: of the p-values. firms: whether to ask `firm_permutation`, with the
    effects ``few``.
    """

    window: Window
    tests: tuple[str, ...]
    events: tuple[str, ...]
    single: tuple[str, ...]
    scale: float
    taus: Floats
    few: Floats
    alternatives: tuple[str, ...]
    firms: bool = False

    @property
    def day(self) -> int:
        """The relative day that an effect is put on: day 0, or the day of the window nearest to it."""
        return min(max(0, self.window.start), self.window.end)


@dataclass(frozen=True)
class PValues:
    """p: by (null, window, kind, test, alternative), (K, B) p-values, K effects under `SCALED` and 1 elsewhere, B the draws,
    for tests of one event times the events; NaN where there is no answer. caars: by (null, window), the (D,) mean CARs."""

    p: dict[tuple[str, Window, str, str, str], Floats] = field(default_factory=dict)
    caars: dict[tuple[str, Window], Floats] = field(default_factory=dict)


def ask(
    subject: Subject,
    asked: Sequence[Asked],
    drawn: Mapping[str, Drawn],
    log_returns: bool,
    single: Single,
    resampled: int,
    on_progress: Callable[[int, int], None],
    joint: Mapping[Window, tuple[Parted, ...]] | None = None,
    stand_ins: StandIns | None = None,
    beside: Beside | None = None,
) -> Callable[[], PValues]:
    """What gives the p-values of every test in every window under every null; who is beside begins with them at once.

    drawn: the draws of `AS_THEY_ARE`, which `SCALED` shares, and of `RUNUP`. resampled: how many of them, evenly spaced, a test
    without a batched form is asked at. joint: by window, the regressions that events in overlapping windows have in common.
    stand_ins: what `firm_permutation` draws from, None where it is not asked. beside: who takes a part of the chunks, a thread if
    None.
    """
    jobs = []
    for null, draws in drawn.items():
        size = max(AT_ONCE // panel_scale(subject.panel), 1)
        spaced = np.unique(np.arange(min(resampled, len(draws.position))) * len(draws.position) // max(resampled, 1))
        if resampled >= len(draws.position):
            spaced = np.arange(len(draws.position))
        chunks = [
            (null, draws, np.arange(b, min(b + size, len(draws.position)))) for b in range(0, len(draws.position), size)
        ]
        jobs += [(null, d.position[at], d.place[at], np.flatnonzero(np.isin(at, spaced)), at) for null, d, at in chunks]
    references = _references(subject, drawn[AS_THEY_ARE], asked)
    own = {one.window: _own(subject, one.window) for one in asked if "permutation" in one.events}
    chunk = _Chunk(subject, tuple(asked), log_returns, references, own, single, joint or {}, stand_ins)
    waiting = beside(chunk.ask, jobs) if beside is not None else None

    def joined() -> PValues:
        with a_thread() as thread:
            return _joined(gathered(waiting or thread(chunk.ask, jobs), on_progress))

    return joined


def _joined(parts: Sequence[Mapping[tuple[object, ...], Floats]]) -> PValues:
    """The chunks side by side, in their order."""
    found: dict[tuple[object, ...], list[Floats]] = {}
    for part in parts:
        for key, one in part.items():
            found.setdefault(key, []).append(one)
    joined = PValues()
    for key, several in found.items():
        if len(key) == 2:
            joined.caars[key] = np.concatenate(several)  # type: ignore[index]
        else:
            joined.p[key] = np.concatenate(several, axis=1)  # type: ignore[index]
    return joined


def _own(subject: Subject, window: Window) -> tuple[Compared, ...]:
    """Each event's CARs at its own pseudo-dates."""
    w = subject.dates.design.windows.index(window)
    return tuple(Compared.of(cars[:, w]) for cars in subject.dates.cars)


def _references(subject: Subject, draws: Drawn, asked: Sequence[Asked]) -> dict[Window, Compared]:
    """The mean CARs of each window at the draws, which `permutation` compares with."""
    windows = subject.dates.design.windows
    found = {}
    for one in asked:
        w, total = windows.index(one.window), np.zeros(len(draws.place))
        for i, cars in enumerate(subject.dates.cars):
            total += cars[draws.place[:, i], w]
        found[one.window] = Compared.of(total / subject.n)
    return found


@dataclass(frozen=True)
class _Chunk:
    """One chunk after the other; what they share."""

    subject: Subject
    asked: tuple[Asked, ...]
    log_returns: bool
    references: Mapping[Window, Compared]
    own: Mapping[Window, tuple[Compared, ...]]
    single: Single
    joint: Mapping[Window, tuple[Parted, ...]] = field(default_factory=dict)
    stand_ins: StandIns | None = None

    def ask(self, job: tuple[str, Ints, Ints, Ints, Ints]) -> dict[tuple[object, ...], Floats]:
        """The p-values of a chunk: `SCALED` comes with `AS_THEY_ARE`, at the same draws.

        job: the null, (D, N) positions and places, the draws that slow tests are asked at, and the number of each draw.
        """
        null, position, place, few, number = job
        again = any(one.single or REGRESSION_TESTS & set(one.events) for one in self.asked)
        samples = pseudo_samples(self.subject, position, keep_regressors=again)
        days = samples.days(self.subject.panel.event_window)
        related = self._related(samples, days)
        found: dict[tuple[object, ...], Floats] = {}
        kept, common, of_few = Kept(), Kept(), Kept()
        refits = _regressions(samples) if again else (None, None)
        centre = np.stack(self.subject.dates.means)
        pools = [self.stand_ins.pools(position[d]) for d in few] if self.stand_ins is not None else []
        for one in self.asked:
            plain = self._batch(one, samples, related, days, refits, kept, common)
            parted = self.joint.get(one.window, ())
            if parted:
                plain = with_joint(plain, parted, place, None)
            found[null, one.window] = plain.car.mean(axis=1)
            _ask_batch(found, null, one, plain, few, of_few)
            self._ask_firms(found, null, one, plain, few, pools, number)
            self._ask_single(found, null, one, samples, samples.abnormal, np.zeros(1), few)
            if null == AS_THEY_ARE:
                ar = samples.other(centre, one.scale, plain.columns)
                scaled = _with_spread(plain, samples, ar, one.taus)
                if parted:
                    scaled = with_joint(scaled, parted, place, one.scale)
                found[SCALED, one.window] = scaled.car.mean(axis=1)
                _ask_batch(found, SCALED, one, scaled, few, of_few)
                self._ask_firms(found, SCALED, one, replace(scaled, taus=one.few), few, pools, number)
                if one.single:
                    self._ask_single(found, SCALED, one, samples, samples.with_returns(ar), one.few, few)
        return found

    def _related(self, samples: PseudoSamples, days: Ints) -> Correlations | None:
        """The residual correlations of the chunk, where a test looks at them."""
        tests = {test for one in self.asked for test in one.tests}
        if not tests & (CORRELATED | SHARED):
            return None
        if not tests & CORRELATED:
            columns = [
                one.window.within(self.subject.panel.event_window) for one in self.asked if SHARED & set(one.tests)
            ]
            first, end = min(c.start for c in columns), max(c.stop for c in columns)
            return correlations(samples.placed(), (days[:, :, first], days[:, :, end - 1]))
        rows = samples.subject.panel.estimation_rows
        first, last = (samples.days(Window(day, day))[:, :, 0] for day in (rows.start, rows.end))
        return correlations(samples.placed(), (first, last))

    def _batch(
        self, one: Asked, samples: PseudoSamples, related: Correlations | None, days: Ints,
        refits: tuple[Floats | None, Floats | None], kept: Kept, common: Kept,
    ) -> Batch:  # fmt: skip
        """The pseudo-events of a chunk as they are."""
        shape, abnormal = samples.position.shape, samples.abnormal
        columns, none, tests = one.window.within(abnormal.window), np.zeros(samples.draws), set(one.tests)
        window_days = np.ascontiguousarray(days[:, :, columns])
        car, se = sums(abnormal, abnormal.ar, columns), standard_errors(samples.fits, columns)
        return Batch(
            window=one.window,
            event_window=abnormal.window,
            taus=np.zeros(1),
            on=one.day,
            car=car.reshape(shape),
            car_se=se.reshape(shape),
            scar=(car / se).reshape(shape),
            sigma=samples.fits.sigma.reshape(shape),
            dof=samples.fits.dof.reshape(shape),
            ar=per_session(abnormal, abnormal.ar).reshape(*shape, -1),
            residuals=samples.fits.residuals.reshape(*shape, -1),
            dates=samples.days(Window(0, 0))[:, :, 0],
            window_days=window_days,
            firms=self.subject.firms,
            r=related.mean() if related is not None and tests & CORRELATED else none,
            shared_r=related.mean_shared(window_days) if related is not None and tests & SHARED else none,
            reference=self.references[one.window],
            own=self.own.get(one.window, ()),
            spans=None if abnormal.spans is None else abnormal.spans.reshape(*shape, -1),
            rows=refits[0],
            event_rows=refits[1],
            kept=kept,
            common=common,
        )

    def _ask_firms(
        self, found: dict[tuple[object, ...], Floats], null: str, one: Asked, batch: Batch, few: Ints,
        pools: Sequence[Sequence[Pool]], number: Ints,
    ) -> None:  # fmt: skip
        """Ask `firm_permutation`, whose null is other listings at the same pseudo-dates."""
        if self.stand_ins is None or not one.firms:
            return
        answers = firm_answers(batch.take(few, {}), self.stand_ins, pools, number[few])
        for alternative in one.alternatives:
            found[null, one.window, "group", FIRMS, alternative] = answers.p(alternative)

    def _ask_single(
        self, found: dict[tuple[object, ...], Floats], null: str, one: Asked, samples: PseudoSamples,
        abnormal: AbnormalReturns, taus: Floats, few: Ints,
    ) -> None:  # fmt: skip
        """Ask the tests of a window that have no batched form."""
        for test in one.single:
            for alternative in one.alternatives:
                p = np.full((len(taus), len(few)), np.nan)
                for k, tau in enumerate(taus):
                    moved = _with_effect(abnormal, samples, one.day, tau)
                    theirs = cumulate(moved, samples.fits, one.window, self.log_returns)
                    p[k] = [self.single(samples, moved, theirs, int(d), test, alternative) for d in few]
                found[null, one.window, "group", test, alternative] = p


def _ask_batch(
    found: dict[tuple[object, ...], Floats], null: str, one: Asked, batch: Batch, few: Ints, of_few: Kept
) -> None:
    """Ask the tests of a window that have a batched form, those of one event at a few of the draws."""
    some = batch.take(few, of_few) if one.events else batch
    each = [("group", BATCHED, test, batch) for test in one.tests]
    each += [("event", BATCHED_EVENTS, test, some) for test in one.events]
    for kind, registry, test, samples in each:
        with np.errstate(invalid="ignore", divide="ignore"):
            answers: Answers = registry[test](samples)
            for alternative in one.alternatives:
                p = np.where(np.isfinite(answers.statistic), answers.p(alternative), np.nan)
                found[null, one.window, kind, test, alternative] = p.reshape(len(batch.taus), -1)
                if answers.order is not None:
                    found[null, one.window, kind, test, f"{alternative}{ORDER}"] = answers.order(alternative)


def _regressions(samples: PseudoSamples) -> tuple[Floats | None, Floats | None]:
    """(D, N, C, R) and (D, N, C, E) what the coefficients stand before; None for samples without their regressors."""
    shape, c = samples.position.shape, len(samples.fits.names)
    rows, event_rows = (
        None if each is None else with_constant(each, c).reshape(*shape, c, each.shape[2])
        for each in (samples.regressors, samples.event_regressors)
    )
    return rows, event_rows


def _with_spread(batch: Batch, samples: PseudoSamples, ar: Floats, taus: Floats) -> Batch:
    """The batch with other abnormal returns (D N, E), and effects."""
    expected, shape = samples.abnormal.expected, batch.car.shape
    ar = (expected + ar) - expected  # as they are when they come with their returns
    car = sums(samples.abnormal, ar, batch.columns).reshape(shape)
    daily = per_session(samples.abnormal, ar).reshape(*shape, -1)
    return replace(batch, taus=taus, ar=daily, car=car, scar=car / batch.car_se, kept={})


def _with_effect(abnormal: AbnormalReturns, samples: PseudoSamples, day: int, tau: float) -> AbnormalReturns:
    """The abnormal returns with a constant added on one relative day: to the return that covers it."""
    if not tau:
        return abnormal
    actual, column = abnormal.actual.copy(), day - abnormal.window.start
    covering = column + np.isfinite(actual[:, column:]).argmax(axis=1) if abnormal.spans is not None else column
    actual[np.arange(len(actual)), covering] += tau
    return abnormal_returns(actual, samples.fits, abnormal.window)
