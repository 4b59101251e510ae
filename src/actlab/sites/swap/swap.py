"""Replace the activations of a model, and undo it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Any, final

from torch import nn

from actlab.catalog.index import NAMES
from actlab.errors import BadInput
from actlab.nn.modules import ActivationModule, AlongAxis, Gated
from actlab.nn.packed_gate import Layout
from actlab.nn.torch_modules import name_of_module
from actlab.sites.find import sites
from actlab.sites.site import Route, RoutedCall, Site
from actlab.sites.swap.evidence import evidence, fresh, run_once
from actlab.sites.swap.in_place import is_made_in_place, make_in_place, make_plain, overwrites
from actlab.sites.swap.recurrent import is_fused, is_ours, opened
from actlab.sites.swap.replacement import GateFirst, Replacement, has_parameters, label_of, make_replacement, placed
from actlab.sites.swap.rerouting import Rerouted, Turn, extended, joined
from actlab.sites.trace.run import unwrapped

Key = Site | str | type[nn.Module]
Choice = Replacement | Mapping[str, Any]

NOT_USED = "it has no effect: the code ignores its result, as it ignored the old one"


@final
@dataclass(frozen=True)
class Changed:
    """A place whose activation was replaced.

    Attributes:
        place: the site's name, or the path of a module.
        before, after: the old and the new activation.
        note: a further remark, such as that a shared module is now several.
    """

    place: str
    before: str
    after: str
    note: str = ""

    def with_note(self, note: str) -> Changed:
        """Return the same with one more remark."""
        return replace(self, note=f"{self.note}; {note}" if self.note else note)

    def __str__(self) -> str:
        return f"{self.place}: {self.before} -> {self.after}" + (f" ({self.note})" if self.note else "")


@final
@dataclass(frozen=True)
class Unchanged:
    """A place that was not changed, and why."""

    place: str
    why: str


@final
class Swap:
    """The result of a swap. As a context manager it undoes the swap at the end.

    Attributes:
        changed: the places whose activation was replaced.
        unchanged: the places that could not be changed, with the reason.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.changed: tuple[Changed, ...] = ()
        self.unchanged: tuple[Unchanged, ...] = ()
        self._new: list[nn.Module] = []  # one for each of `changed`
        self._replaced: dict[int, list[tuple[nn.Module, str, nn.Module | None]]] = {}
        self._back: list[Callable[[], None]] = []
        self._rerouted: dict[int, tuple[Any, Rerouted]] = {}

    def __enter__(self) -> Swap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()

    def undo(self) -> None:
        """Restore the model; a second call does nothing."""
        while self._back:
            self._back.pop()()

    def lines(self) -> list[str]:
        """Return one line for each place."""
        return [*map(str, self.changed), *(f"{each.place} stays: {each.why}." for each in self.unchanged)]

    def put(self, parent: nn.Module, name: str, new: nn.Module, done: Changed) -> None:
        """Replace a submodule."""
        old = parent._modules[name]
        parent._modules[name] = new
        self._replaced.setdefault(id(new), []).append((parent, name, old))
        self._back.append(lambda: parent._modules.__setitem__(name, old))
        self._note(done, new)

    def reroute(self, owner: nn.Module, new: Rerouted, added: Mapping[str, nn.Module], done: Changed) -> None:
        """Give a module another `forward`, and submodules for the calls that it reroutes."""
        before, shown = owner.__dict__.get("forward"), owner.__dict__.get("extra_repr")
        first, mine = self._rerouted.get(id(owner), (before, Rerouted(owner, {})))
        mine = Rerouted(owner, {**mine.turns, **new.turns}, lines={**mine.lines, **new.lines})
        self._rerouted[id(owner)] = first, mine  # one pass found all sites of this swap
        for name, module in added.items():
            owner.add_module(name, module)
        owner.__dict__["extra_repr"] = extended(owner, str(done))
        if isinstance(first, Rerouted):
            owner.forward = joined(first, mine)
        else:
            owner.forward = mine if first is None else Rerouted(owner, mine.turns, first, mine.lines)

        def back() -> None:
            for name in added:
                del owner._modules[name]
            for name, old in (("forward", before), ("extra_repr", shown)):
                owner.__dict__.pop(name)
                if old is not None:
                    owner.__dict__[name] = old

        self._back.append(back)
        self._note(done, *added.values())

    def _note(self, done: Changed, new: nn.Module) -> None:
        self.changed += (done,)
        self._new.append(new)

    def prove(self, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Run the model to know whether the new activations act, and which need not write into their inputs.

        Raises:
            BadInput: the model raises with them.
        """
        in_place = [is_made_in_place(each) for each in self._new]
        for each in self._new:
            make_plain(each)
        found = evidence(self.model, self._new, inputs, kwargs)
        changed, self.changed = self.changed, ()
        for done, new, was_in_place, seen in zip(changed, self._new, in_place, found, strict=True):
            if was_in_place and seen.is_input_read:
                make_in_place(new)
            if not seen.calls:
                self.leave(done.place, f"a forward pass does not call {done.after} there")
                self._take_back(new)
                continue
            acts = seen.is_used or overwrites(new)
            self.changed += (done if acts else done.with_note(NOT_USED),)
        run_once(self.model, [fresh(each) for each in inputs], fresh(kwargs))

    def _take_back(self, new: nn.Module) -> None:
        """Put back what a module has replaced that the code does not call, since it keeps the old one elsewhere too."""
        for parent, name, old in self._replaced.get(id(new), ()):
            parent._modules[name] = old

    def leave(self, place: str, why: str) -> None:
        """Note a place that is not changed."""
        self.unchanged += (Unchanged(place, why),)


def swap(
    model: nn.Module, mapping: Mapping[Key, Choice], *inputs: Any, missing_ok: bool = False, **kwargs: Any
) -> Swap:
    """Replace activations of the model, reversibly.

    An activation module is exchanged in its parent. Calls of functions and methods, and formulas written out, are
    rerouted by a `forward` of that one module instance, which can be copied, saved, compiled and exported. A
    replacement with parameters is a submodule, so that the optimizer and `state_dict` find it; every place has its own.

    Args:
        model: changed until `undo()`.
        mapping: from places to replacements. A key is a site, its name (`encoder.act[0]`), a pattern of paths
            (`encoder.*`), the name of an activation (`relu`), its spelling (`F.relu`) or a class (`nn.ReLU`). A value
            is a name, a formula, an activation, a module, its class or a function. If several keys match a place, the
            last one applies. A fused RNN, GRU or LSTM is replaced by `{path: actlab.nn.LSTM}`, or by
            `{path: {"gate": "hard_sigmoid"}}`.
        inputs, kwargs: what the model is called with. Without them only modules are found, and sites are taken as
            they are.
        missing_ok: whether a key may match nothing.

    Raises:
        BadInput: the model cannot be looked into, a key matches nothing, or a replacement is not one.
        UnknownActivation, BadFormula: as `actlab.get`.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> done = swap(model, {"relu": "swish"})
        >>> done.lines()
        ['1: relu -> swish(beta=1)']
        >>> done.undo()
        >>> model[1]
        ReLU()
    """
    inner, was_run = unwrapped(model), bool(inputs or kwargs)
    found = tuple(sites(inner, *map(fresh, inputs), **fresh(kwargs))) if was_run else ()
    present = _present(inner, found)
    _refuse_unusable(mapping, present)
    done = Swap(inner)
    try:
        for at, (key, choice) in enumerate(mapping.items()):
            later = [site for other in list(mapping)[at + 1 :] for site in _chosen(inner, other, found)]
            missing = _swap_one(done, key, choice, found, later=later, was_run=was_run)
            if missing and not missing_ok:
                hint = "" if was_run else " Give its inputs too, swap(model, mapping, x), to find calls of functions."
                raise BadInput(f"swap: {missing} {_label(key)!r}; {present}.{hint} Use missing_ok=True to allow it.")
            if missing:
                done.leave(_label(key), missing)
        if was_run and done.changed:
            done.prove(inputs, kwargs)
    except BaseException:
        done.undo()
        raise
    return done


def _refuse_unusable(mapping: object, present: str) -> None:
    if not isinstance(mapping, Mapping):
        got = repr(mapping) if isinstance(mapping, str) else type(mapping).__name__
        raise BadInput(
            f"swap: the mapping must say which activations to replace; got {got}. Write"
            f" swap(model, {{'relu': 'gelu'}}, x); {present}."
        )
    for key in mapping:
        if not (isinstance(key, Site | str) or (isinstance(key, type) and issubclass(key, nn.Module))):
            raise BadInput(
                "swap: a key must be a site, its name, a pattern of paths, the name of an activation or a class of"
                f" modules; got {key!r}."
            )


def _present(model: nn.Module, found: tuple[Site, ...]) -> str:
    """Return a clause that names the activations of the model."""
    modules = [name for module in model.modules() if (name := _activation_of(module)) is not None]
    names = dict.fromkeys([site.activation for site in found] or modules)
    what = "applies" if found else "has modules for"
    return f"the model {what} {', '.join(names) or 'no activation'}"


def _swap_one(
    done: Swap, key: Key, choice: Choice, found: tuple[Site, ...], *, later: list[Site], was_run: bool
) -> str:
    """Replace the activations that one key names; return why there is none to replace, else an empty text."""
    before = len(done.changed) + len(done.unchanged)
    opened_paths = _open_recurrent(done, key, choice)
    named = _chosen(done.model, key, found)
    chosen = [site for site in named if site not in later]
    if not isinstance(choice, Mapping) and not opened_paths:
        if chosen:
            _swap_sites(done, chosen, choice, found)
        elif not isinstance(key, Site) and not was_run:
            _swap_modules(done, key, choice)
    if len(done.changed) + len(done.unchanged) > before:
        return ""
    if isinstance(choice, Mapping):
        return "no recurrent network of PyTorch matches"
    if named:
        done.leave(_label(key), "a later key names the same places")
        return ""
    if not was_run:
        return "no activation module matches"
    meant = next((site.activation for site in found if _class_of(site) == _label(key).lower()), None)
    return "no activation matches" if meant is None else f"no module of this class is called; the key '{meant}' matches"


def _class_of(site: Site) -> str:
    """Return how PyTorch would name a module of the site's activation, in small letters."""
    return f"nn.{site.activation.replace('_', '')}"


def _label(key: Key) -> str:
    if isinstance(key, str):
        return key
    return key.name if isinstance(key, Site) else _class_name(key)


def _class_name(kind: type[nn.Module]) -> str:
    return f"nn.{kind.__name__}" if kind.__module__.startswith("torch.nn.") else kind.__name__


def _chosen(model: nn.Module, key: Key, found: tuple[Site, ...]) -> list[Site]:
    if isinstance(key, Site):
        return [key]
    if isinstance(key, type):
        return [site for site in found if type(model.get_submodule(site.path)) is key]
    return [site for site in found if _matches(key, site)]


def _matches(key: str, site: Site) -> bool:
    if key in (site.name, site.path, site.spelling) or fnmatchcase(site.path, key) or fnmatchcase(site.name, key):
        return True
    return _names(key, site.activation) or (site.gate is not None and _names(key, site.gate.name))


def _names(key: str, activation: str) -> bool:
    """Return whether the key is a name of the activation."""
    return key == activation or (key in NAMES and NAMES[key].name == activation)


def _is_module_named(key: Key, path: str, module: nn.Module) -> bool:
    if isinstance(key, Site):
        return False
    if isinstance(key, type):
        return type(module) is key
    return fnmatchcase(path, key) or key == _class_name(type(module))


def _open_recurrent(done: Swap, key: Key, choice: Choice) -> list[str]:
    """Replace PyTorch's fused networks by actlab's; return the paths that match."""
    paths = [
        path
        for path, module in done.model.named_modules()
        if path and is_fused(module) and _is_module_named(key, path, module)
    ]
    for path in paths:
        old = done.model.get_submodule(path)
        if not is_ours(choice):
            done.leave(path, f"nn.{type(old).__name__} is one fused call: replace it by actlab.nn's class, or give"
                             " activations by role, {'gate': ...}")  # fmt: skip
            continue
        roles = choice if isinstance(choice, Mapping) else {}
        new = placed(opened(old, roles), like=done.model, old=old)
        parent, _, name = path.rpartition(".")
        done.put(done.model.get_submodule(parent), name, new, Changed(path, f"nn.{type(old).__name__}", _ours(new)))
    return paths


def _ours(new: nn.Module) -> str:
    return f"actlab.nn.{type(new).__name__}"


def _swap_modules(done: Swap, key: Key, choice: Replacement) -> None:
    """Replace activation modules in their parents, without a pass."""
    children = _children(done.model)
    shared = Counter(id(child) for *_, child in children)
    for parent, name, path, old in children:
        act = _activation_of(old)
        if act is None:
            continue
        if _is_module_named(key, path, old) or (isinstance(key, str) and _names(key, act)):
            try:
                new = make_replacement(choice, None, axis=getattr(old, "dim", -1) or -1, layout=_layout(old))
            except BadInput as error:
                done.leave(path, str(error).removesuffix("."))
                continue
            note = "shared a module before, has its own now" if shared[id(old)] > 1 and has_parameters(new) else ""
            if overwrites(old):
                make_in_place(new)
            done.put(parent, name, placed(new, like=done.model, old=old), Changed(path, act, label_of(new), note))


def _layout(module: nn.Module) -> Layout | None:
    """Return how a module that is a gated unit takes value and gate; None for every other module."""
    if isinstance(module, Gated):
        return module.layout
    return "value_first" if isinstance(module, nn.GLU) else None


def _layout_at(site: Site, module: nn.Module) -> Layout | None:
    """Return how the call at a site takes value and gate; None if it takes one input, or only the gate."""
    if site.gate is not None or len(site.formula.inputs) == 1:
        return None
    found = _layout(module)
    if found is None and site.activation != "glu":
        raise BadInput("it is a function of actlab that takes value and gate: replace the call in the code")
    return found or "value_first"


def _children(model: nn.Module) -> list[tuple[nn.Module, str, str, nn.Module]]:
    """Return every place of every submodule."""
    found = []
    for path, parent in model.named_modules():
        for name, child in parent._modules.items():
            if child is not None:
                found.append((parent, name, f"{path}.{name}".removeprefix("."), child))
    return found


def _activation_of(module: nn.Module) -> str | None:
    """Return the activation that a module is; None also if the instance has a `forward` by other code."""
    if "forward" in module.__dict__ and not is_made_in_place(module):
        return None
    if isinstance(module, ActivationModule | AlongAxis):
        return module.activation.name
    return name_of_module(module)


def _swap_sites(done: Swap, chosen: list[Site], choice: Replacement, found: tuple[Site, ...]) -> None:
    for site in chosen:
        try:
            _swap_site(done, site, choice, alone=_is_alone(site, chosen, found), in_one=_in_one(site, found))
        except BadInput as error:
            done.leave(site.name, str(error).removesuffix("."))


def _is_alone(site: Site, chosen: list[Site], found: tuple[Site, ...]) -> bool:
    """Return whether the module at the site's path is used only there."""
    return [each for each in (*found, *chosen) if each.path == site.path and each != site] == []


def _in_one(site: Site, found: tuple[Site, ...]) -> bool:
    """Return whether one run of the module at the site's path makes all calls of the site."""
    same = [each for each in found or (site,) if each.path == site.path]
    reused = len(same) > 1 and site.spelling.startswith(("nn.", "actlab.module"))
    return not reused and all(each.calls == 1 or _is_each(each) for each in same)


def _is_each(site: Site) -> bool:
    return site.route is not None and all(call.at == -1 for calls in site.route.calls for call in calls)


def _swap_site(done: Swap, site: Site, choice: Replacement, *, alone: bool, in_one: bool) -> None:
    module = done.model.get_submodule(site.path)
    layout = _layout_at(site, module)
    new = placed(make_replacement(choice, site, axis=site.axis, layout=layout), like=done.model, old=None)
    if site.path and alone and _activation_of(module) is not None and not isinstance(new, GateFirst):
        _exchange(done, site, module, new)
        return
    if layout == "two":
        raise BadInput("the module takes value and gate and is applied in several places: give each place its own")
    if site.route is None:
        raise BadInput("its calls are not known: take the site from actlab.sites(model, *inputs)")
    owner = done.model.get_submodule(site.route.owner if in_one else "")
    name = _free_name(owner, site)
    _refuse_out_of_reach(site.route, site.route.owner if in_one else "")
    lines = site.route.inside if in_one else site.route.everywhere
    was_shared = not alone and _activation_of(module) is not None
    note = "it shared a module with other places and has its own now" if was_shared and has_parameters(new) else ""
    change = Changed(site.name, site.activation, label_of(new), note)
    turns = _turns(site, new, name, in_one=in_one, owner=owner)
    done.reroute(owner, Rerouted(owner, turns, lines=lines), {name: new}, change)


def _refuse_out_of_reach(route: Route, owner: str) -> None:
    """Refuse a place whose backward pass would not be that of the new activation."""
    if route.own_backward:
        raise BadInput(
            "it is in a torch.autograd.Function, whose backward would not change: replace the module that calls it"
        )
    inside = route.recomputed
    if inside is not None and not (inside and f"{owner}.".startswith(f"{inside}.")):
        raise BadInput(
            "torch.utils.checkpoint recomputes it outside its module's forward: checkpoint a module, not a function"
        )


def _exchange(done: Swap, site: Site, old: nn.Module, new: nn.Module) -> None:
    places = [(parent, name) for parent, name, _, child in _children(done.model) if child is old]
    new = placed(new, like=done.model, old=old)
    if overwrites(old):
        make_in_place(new)
    for parent, name in places:
        done.put(parent, name, new, Changed(site.name, site.activation, label_of(new)))


def _free_name(owner: nn.Module, site: Site) -> str:
    start = f"swapped_{(site.path or 'model').replace('.', '_')}_{site.index}"
    name, more = start, 0
    while name in owner._modules or hasattr(owner, name):
        more += 1
        name = f"{start}_{more}"
    return name


def _turns(site: Site, new: nn.Module, name: str, *, in_one: bool, owner: nn.Module) -> dict[tuple[str, int], Turn]:
    """Return how to reroute the calls of each application of the site."""
    before = owner.__dict__.get("forward")
    slots = max((turn.slot for turn in before.turns.values()), default=-1) + 1 if isinstance(before, Rerouted) else 0
    turns = {}
    for slot, calls in enumerate(_of_gate(site, new)):
        for call in calls:
            at = call.at if in_one else call.at_all
            turns[call.function, at] = Turn(slots + slot, call.takes, name if call.is_last else "")
    return turns


def _of_gate(site: Site, new: nn.Module) -> Iterator[tuple[RoutedCall, ...]]:
    """Yield the calls of each application; only those of the gate if a one-input function replaces it."""
    is_gated = site.gate is not None and not isinstance(new, GateFirst)
    for calls in site.route.calls if site.route is not None else ():
        if is_gated and len(calls) > 1:
            *_, last = kept = calls[:-1]
            yield (*kept[:-1], RoutedCall(last.function, last.at, last.at_all, last.takes, True))
        else:
            yield calls


def trainable_activation_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the trainable parameters of the activations, for an optimizer group without weight decay.

    These are the parameters of actlab's modules, of `nn.PReLU`, and of all replacements by `swap`.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.PReLU(), nn.Linear(4, 2))
        >>> trainable_activation_parameters(model)
        [Parameter containing:
        tensor([0.2500], requires_grad=True)]
    """
    found: dict[int, nn.Parameter] = {}
    for module in unwrapped(model).modules():
        swapped = [module._modules[turn.gives] for turn in _turned(module) if turn.gives]
        owners = [module] if isinstance(module, ActivationModule | nn.PReLU) else []
        for owner in (*owners, *swapped):
            found.update((id(each), each) for each in (owner.parameters() if owner is not None else ()))
    return [each for each in found.values() if each.requires_grad]


def _turned(module: nn.Module) -> list[Turn]:
    forward = module.__dict__.get("forward")
    return list(forward.turns.values()) if isinstance(forward, Rerouted) else []
