"""Official files of data sets in which motion decides, as the lists that the data sets read."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..datasets.lists import ListLine, read_classes, read_lines, read_text
from .official_splits import Annotations, ListsByName

Entry = tuple[str, str, int]
"""The place in a file, for errors, the path of a video and its label, -1 for none."""
IMAGE = re.compile(r'([0-9]{5})\.jpg')


def _to_lists(parts: Mapping[str, Iterable[Entry]]) -> ListsByName:
    """The lists, none of which is empty, and no video is twice in them."""
    places: dict[str, str] = {}
    lists: ListsByName = {}
    for name, entries in parts.items():
        lines = lists[name] = []
        for place, path, label in entries:
            if path in places:
                raise ValueError(f'{place}: {path} is the same video as in {places[path]}')
            places[path] = place
            lines.append(ListLine(path, label))
        if not lines:
            raise ValueError(f'{name}.txt would list no videos')
    return lists


def _read_json(path: Path, kind: type) -> Any:
    """What a JSON file has, which must be of a kind and not empty."""
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f'{path}, line {error.lineno}: not JSON: {error.msg}') from error
    if not isinstance(content, kind) or not content:
        name = 'object' if kind is dict else 'list'
        raise ValueError(f'{path}: expected a JSON {name} that is not empty')
    return content


def _read_entries(path: Path, **kinds: type) -> Iterator[list]:
    """The place and what stands under some keys, of these kinds, of each entry of a JSON list."""
    expected = ', '.join(f'"{key}": <{kind.__name__}>' for key, kind in kinds.items())
    for number, entry in enumerate(_read_json(path, list), start=1):
        place = f'{path}, entry {number}'
        values = [entry.get(key) for key in kinds] if isinstance(entry, dict) else [None]
        # type, as a JSON true is an int too
        if [type(value) for value in values] != [*kinds.values()] or '' in values:
            got = json.dumps(entry, ensure_ascii=False)[:100]
            raise ValueError(f'{place}: expected {{{expected}}}, got {got}')
        yield [place, *values]


def _one_of(folder: Path, *names: str) -> Path:
    """The file that has the first of these names that is there."""
    return next((folder / name for name in names if (folder / name).exists()), folder / names[0])


def read_sthv2(folder: Path) -> Annotations:
    """Read the JSON files of Something-Something V2, which may be without that of test.

    Their names are ``something-something-v2-train.json`` and so on, or ``train.json`` as in
    the archive of labels that Qualcomm serves today. ``labels`` maps templates to indices
    written as text; ``train`` and ``validation`` list objects of which ``id`` and
    ``template`` count, the latter with brackets round what is to be filled in, which
    ``labels`` lacks; ``test`` lists objects with an ``id``. Videos are ``<id>.webm``. This
    is what MMAction2's ``tools/data/parse_file_list.py`` reads.

    Returns:
        Annotations: Lists ``sthv2_train_list_videos``, of val and of test, without labels.

    Raises:
        FileNotFoundError: If a file other than that of test is missing.
        ValueError: If a file is not JSON, an entry lacks a key or has a template that is not
            in ``labels``, the indices are not those from 0 on, or a video is twice.
    """
    parts = ('labels', 'train', 'validation', 'test')
    files = {p: _one_of(folder, f'something-something-v2-{p}.json', f'{p}.json') for p in parts}
    indices = _read_json(files['labels'], dict)
    by_index = {str(index): template for template, index in indices.items()}
    if missing := [str(n) for n in range(len(indices)) if str(n) not in by_index]:
        raise ValueError(
            f'{files["labels"]}: no template has the index {missing[0]}, of {len(indices)} of them'
        )
    classes = [by_index[str(n)] for n in range(len(indices))]
    labels = {template: label for label, template in enumerate(classes)}

    def labeled(path: Path) -> Iterator[Entry]:
        for place, video, template in _read_entries(path, id=str, template=str):
            name = re.sub(r'[\[\]]', '', template)
            if name not in labels:
                raise ValueError(f'{place}: "{template}" is not in {files["labels"].name}')
            yield place, f'{video}.webm', labels[name]

    entries: dict[str, Iterable[Entry]] = {
        'sthv2_train_list_videos': labeled(files['train']),
        'sthv2_val_list_videos': labeled(files['validation']),
    }
    if files['test'].exists():
        unlabeled = _read_entries(files['test'], id=str)
        entries['sthv2_test_list_videos'] = ((p, f'{video}.webm', -1) for p, video in unlabeled)
    return _to_lists(entries), classes


def read_diving48(folder: Path) -> Annotations:
    """Read ``Diving48_V2_train.json``, ``Diving48_V2_test.json`` and ``Diving48_vocab.json``.

    Train and test list objects of which ``vid_name`` and ``label``, from 0 on, count;
    ``start_frame`` and ``end_frame`` are those of the whole file, as clips come trimmed. The
    vocabulary lists the words of each class, by label: take-off, somersaults, twists and
    position. Videos are ``<vid_name>.mp4``. The files are those of
    http://www.svcl.ucsd.edu/projects/resound/dataset.html, and lists and classes are called
    what MMAction2 calls them, where the test videos are val.

    Returns:
        Annotations: Lists ``diving48_train_list_videos`` and ``diving48_val_list_videos``.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is not JSON, an entry lacks a key or has a label that is not in
            the vocabulary, or a video is twice.
    """
    vocabulary = folder / 'Diving48_vocab.json'
    classes = []
    for number, words in enumerate(_read_json(vocabulary, list), start=1):
        if not isinstance(words, list) or not words or {*map(type, words)} != {str}:
            raise ValueError(f'{vocabulary}, entry {number}: expected a list of words, got {words}')
        classes.append('+'.join(words))

    def entries(path: Path) -> Iterator[Entry]:
        for place, video, label in _read_entries(path, vid_name=str, label=int):
            if not 0 <= label < len(classes):
                raise ValueError(f'{place}: {vocabulary.name} has no label {label}')
            yield place, f'{video}.mp4', label

    parts = {'train': 'Diving48_V2_train.json', 'val': 'Diving48_V2_test.json'}
    files = {f'diving48_{part}_list_videos': folder / name for part, name in parts.items()}
    return _to_lists({name: entries(file) for name, file in files.items()}), classes


def read_jester(folder: Path) -> Annotations:
    """Read ``jester-v1-<part>.csv`` of 20BN-JESTER, which may be without that of test.

    ``labels`` has the name of a class per line, by label; ``train`` and ``validation`` have
    lines ``<id>;<class>``, ``test`` has ids. No file has a header. This is what MMAction2's
    ``tools/data/parse_file_list.py`` reads. The lines of the lists lack the numbers of
    images, which :func:`count_images` adds.

    Returns:
        Annotations: Lists ``jester_train_list_rawframes``, of val and of test, without labels.

    Raises:
        FileNotFoundError: If a file other than that of test is missing.
        ValueError: If a line is malformed or its class is not in ``labels``, or a class or a
            video is twice.
    """
    files = {p: folder / f'jester-v1-{p}.csv' for p in ('labels', 'train', 'validation', 'test')}
    classes = read_classes(files['labels'])
    labels = {name: label for label, name in enumerate(classes)}
    if len(labels) < len(classes):
        twice = next(name for n, name in enumerate(classes) if labels[name] != n)
        raise ValueError(f'{files["labels"]}: "{twice}" is there twice')

    def entries(path: Path, form: str) -> Iterator[Entry]:
        for place, text in read_lines(path):
            words = text.split(';')
            if len(words) != len(form.split(';')) or '' in words:
                raise ValueError(f'{place}: expected "{form}", got "{text[:100]}"')
            if words[1:] and words[1] not in labels:
                raise ValueError(f'{place}: "{words[1]}" is not in {files["labels"].name}')
            yield place, words[0], labels[words[1]] if words[1:] else -1

    lists = {
        'jester_train_list_rawframes': entries(files['train'], '<id>;<class>'),
        'jester_val_list_rawframes': entries(files['validation'], '<id>;<class>'),
    }
    if files['test'].exists():
        lists['jester_test_list_rawframes'] = entries(files['test'], '<id>')
    return _to_lists(lists), classes


def _images_in(folder: Path) -> int:
    """The number of images ``00001.jpg``, ``00002.jpg`` ... in a folder, 0 if it is missing.

    Raises:
        ValueError: If one of them is missing.
    """
    try:
        found = {match[1] for name in os.listdir(folder) if (match := IMAGE.fullmatch(name))}
    except FileNotFoundError:
        return 0
    for number in range(1, len(found) + 1):
        if f'{number:05d}' not in found:
            raise ValueError(
                f'{folder} has {len(found)} images, but no {number:05d}.jpg: extract it again'
            )
    return len(found)


def count_images(lists: ListsByName, videos: Path) -> tuple[ListsByName, dict[str, list[str]]]:
    """Keep the videos whose folders of images exist, with the number of images.

    A test list of which nothing is there is left out.

    Returns:
        tuple[ListsByName, dict[str, list[str]]]: What is there, and paths of what is not.

    Raises:
        FileNotFoundError: If nothing of another list is there.
        ValueError: If the images of a folder are not numbered from 1 on.
    """
    kept: ListsByName = {}
    missing: dict[str, list[str]] = {}
    for name, lines in lists.items():
        counted = [line._replace(frames=_images_in(videos / line.path)) for line in lines]
        kept[name] = [line for line in counted if line.frames]
        missing[name] = [line.path for line in counted if not line.frames]
        if kept[name]:
            continue
        if '_test_' not in name:
            raise FileNotFoundError(
                f'{videos} has no video of {name}.txt: looked for {lines[0].path}/00001.jpg'
            )
        del kept[name]
    return kept, missing
