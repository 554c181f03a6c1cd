"""Official split files, or a folder of videos, as the lists that the data sets read."""

import csv
import itertools
import os
import os.path as osp
import random
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten

from ..datasets.lists import ListLine, format_classes, format_list, read_lines, read_text
from ..files import write_whole
from ..selections import OFFICIAL_SPLITS

ListsByName = dict[str, list[ListLine]]
Annotations = tuple[ListsByName, list[str]]  # and the names of the classes, by label

EXTENSIONS = set('.avi .flv .gif .m4v .mkv .mov .mp4 .mpeg .mpg .ogv .ts .webm .wmv'.split())
KINETICS_PARTS = {'train': 'train', 'val': 'val[a-z]*', 'test': 'test'}


def _read_words(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The place, for errors, and the words of each line that is not blank."""
    for place, text in read_lines(path):
        if words := text.split():
            yield place, words


def _video_id(path: str, by_name: bool) -> str:
    video_id = osp.splitext(path)[0]
    return osp.basename(video_id) if by_name else video_id


def _checked(lists: ListsByName, by_name: bool = False) -> ListsByName:
    """The lists, none of which is empty or shares a video with another of its split."""
    seen: dict[tuple[str, str], str] = {}
    for name, lines in lists.items():
        if not lines:
            raise ValueError(f'{name}.txt would list no videos')
        for path, *_ in lines:
            key = (name.partition('_split')[2], _video_id(path, by_name))
            if key in seen:
                raise ValueError(f'{path} in {name}.txt is the same video as {seen[key]}')
            seen[key] = f'{path} in {name}.txt'
    return lists


def _malformed(place: str, expected: str, words: list[str]) -> ValueError:
    return ValueError(f'{place}: expected "{expected}", got "{shorten(" ".join(words), 100)}"')


def read_ucf101(folder: Path) -> Annotations:
    """Read ``classInd.txt``, ``trainlist0<N>.txt`` and ``testlist0<N>.txt`` of UCF101.

    Returns:
        Annotations: Lists ``ucf101_train_split1`` to ``ucf101_test_split3``.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a line is malformed or contradicts ``classInd.txt``, or a
            video occurs twice in a split.
    """
    labels: dict[str, int] = {}
    for place, words in _read_words(folder / 'classInd.txt'):
        if words[0] != str(len(labels) + 1) or len(words) != 2 or words[1] in labels:
            raise _malformed(place, f'{len(labels) + 1} <another class>', words)
        labels[words[1]] = len(labels)
    lists: ListsByName = {}
    for part, split in itertools.product(('train', 'test'), OFFICIAL_SPLITS):
        lines = lists[f'ucf101_{part}_split{split}'] = []
        for place, words in _read_words(folder / f'{part}list0{split}.txt'):
            path, name = words[0], osp.dirname(words[0])
            if name not in labels:
                raise ValueError(f'{place}: {path} is in no class of classInd.txt')
            expected = f'{path} {labels[name] + 1}' if part == 'train' else path
            if ' '.join(words) != expected:
                raise _malformed(place, expected, words)
            lines.append(ListLine(path, labels[name]))
    return _checked(lists), list(labels)


def read_hmdb51(folder: Path) -> Annotations:
    """Read ``<class>_test_split<N>.txt`` of HMDB51; labels are by sorted class name.

    Returns:
        Annotations: Lists ``hmdb51_train_split1`` to ``hmdb51_test_split3``.

    Raises:
        FileNotFoundError: If there are no such files, or a class lacks a split.
        ValueError: If a line is malformed, or a video occurs twice in a split.
    """
    names = [re.fullmatch(r'([^.].*)_test_split\d+\.txt', name) for name in os.listdir(folder)]
    classes = sorted({name[1] for name in names if name})
    if not classes:
        raise FileNotFoundError(f'{folder} has no <class>_test_split<N>.txt')
    lists: ListsByName = {}
    for split in OFFICIAL_SPLITS:
        parts: dict[str, list[ListLine]] = {'1': [], '2': [], '0': []}  # train, test, unused
        for label, name in enumerate(classes):
            for place, words in _read_words(folder / f'{name}_test_split{split}.txt'):
                if len(words) != 2 or words[1] not in parts:
                    raise _malformed(place, '<video> <0, 1 or 2>', words)
                parts[words[1]].append(ListLine(f'{name}/{words[0]}', label))
        lists[f'hmdb51_train_split{split}'] = parts['1']
        lists[f'hmdb51_test_split{split}'] = parts['2']
    return _checked(lists), classes


def _read_csv(path: Path, labeled: bool) -> Iterator[tuple[str, str]]:
    """Class, which may be empty unless ``labeled``, and path of every clip."""
    reader = csv.DictReader(read_text(path).splitlines(keepends=True))
    columns = ['youtube_id', 'time_start', 'time_end', *['label'] * labeled]
    try:
        for row in reader:
            *clip, label = ((row.get(column) or '').strip() for column in (*columns[:3], 'label'))
            match = re.fullmatch(r'([\w-]+),(\d+)[.0]*,(\d+)[.0]*', ','.join(clip))
            if not match or (labeled and not label):
                place, got = f'{path}, line {reader.line_num}', [*map(str, row.values())]
                raise _malformed(place, ' '.join(columns), got)
            name = f'{match[1]}_{int(match[2]):06d}_{int(match[3]):06d}.mp4'
            # As MMAction2's rename_classnames.sh calls the folders.
            yield label, f'{label.replace(" ", "_")}/{name}' if label else name
    except csv.Error as error:
        raise ValueError(f'{path}, after line {reader.line_num}: {error}') from error


def read_kinetics400(folder: Path) -> Annotations:
    """Read the CSVs of Kinetics-400, whose file names vary; labels are by sorted class name.

    Any of train, val and test may be absent. Only test may be without labels.

    Returns:
        Annotations: Lists ``kinetics400_train_list_videos``, of val and of test.

    Raises:
        FileNotFoundError: If there is no CSV.
        ValueError: If two are for one part, a line is malformed, or a clip is twice.
    """
    clips = {}
    words = {path: re.findall('[a-z]+', path.stem.lower()) for path in folder.glob('*.csv')}
    for part, pattern in KINETICS_PARTS.items():
        files = sorted(p for p in words if any(re.fullmatch(pattern, w) for w in words[p]))
        if len(files) > 1:
            raise ValueError(f'{files[0]} and {files[1]} are both for {part}; keep one')
        if files:
            clips[f'kinetics400_{part}_list_videos'] = [*_read_csv(files[0], part != 'test')]
    if not clips:
        raise FileNotFoundError(f'{folder} has no train.csv, val.csv or test.csv')
    classes = sorted({label for rows in clips.values() for label, _ in rows if label})
    labels = {name: label for label, name in enumerate(['', *classes], start=-1)}
    lists = {name: [ListLine(path, labels[c]) for c, path in rows] for name, rows in clips.items()}
    return _checked(lists, by_name=True), classes


def find_videos(folder: str | Path, prefix: str = '') -> Iterator[str]:
    """Paths of all videos below ``folder``, each after ``prefix``, but hidden ones."""
    with os.scandir(folder) as places:
        for place in (place for place in places if not place.name.startswith('.')):
            if place.is_dir():
                yield from find_videos(place.path, f'{prefix}{place.name}/')
            elif osp.splitext(place.name)[1].lower() in EXTENSIONS:
                yield prefix + place.name


def read_folder(videos: Path, test_share: float = 0.2, seed: int = 0) -> Annotations:
    """List a folder that has a folder of videos for each class; labels are by sorted name.

    Where its only subfolders are train and val (or test), these have the classes
    and become the two lists. Otherwise every class is split, by itself, so that
    one more class does not change the split of the others.

    Args:
        videos (Path): The folder, to which paths in the lists are relative.
        test_share (float): Share of each class that goes to val, rounded; one
            video stays in train. Defaults to 0.2.
        seed (int): Another seed, another split. Defaults to 0.

    Returns:
        Annotations: Lists ``train`` and ``val``.

    Raises:
        ValueError: If ``test_share`` is not between 0 and 1, a video is in no
            class, a class has none in train, or a list would be empty.
    """
    if not 0 < test_share < 1:
        raise ValueError(f'test_share must be between 0 and 1, got {test_share}')
    tops = {p.name for p in videos.iterdir() if p.is_dir() and p.name[0] != '.'}
    depth = int('train' in tops and not tops.isdisjoint(('val', 'test')))  # of the classes
    if depth and len(tops) != 2:
        raise ValueError(f'{videos} must have train and val (or test) alone: {sorted(tops)}')
    found: dict[str, dict[str, list[str]]] = {'train': {}, 'val': {}}  # paths by class
    for path in sorted(find_videos(videos)):
        *folders, _ = path.split('/')
        if len(folders) <= depth:
            raise ValueError(f'{videos / path} is not in the folder of a class')
        part = 'val' if depth and folders[0] != 'train' else 'train'
        found[part].setdefault(folders[depth], []).append(path)
    for name, paths in () if depth else found['train'].items():
        random.Random(seed).shuffle(paths)
        cut = min(round(test_share * len(paths)), len(paths) - 1)
        found['val'][name], found['train'][name] = sorted(paths[:cut]), sorted(paths[cut:])
    labels = {name: label for label, name in enumerate(sorted(found['train']))}
    if unknown := sorted(found['val'].keys() - labels.keys()):
        raise ValueError(f'{videos / "train"} has no video of {unknown[0]}, which is in val')
    lists = {
        part: [ListLine(path, labels[name]) for name in sorted(classes) for path in classes[name]]
        for part, classes in found.items()
    }
    return _checked(lists), list(labels)


def keep_existing(
    lists: ListsByName, videos: Path, by_name: bool = False
) -> tuple[ListsByName, dict[str, list[str]]]:
    """Keep the videos that exist, under their paths there, whatever their extension.

    The test list of Kinetics or Something-Something is left out if nothing of it is
    there. With ``by_name``, for Kinetics, a clip may also be called ``<youtube_id>``
    and be anywhere. Where ``videos`` then has MMAction2's subfolders ``videos_train``,
    ``videos_val`` or ``videos_test``, each list is looked for in its own, to which its
    paths are relative.

    Returns:
        tuple[ListsByName, dict[str, list[str]]]: What is there, and paths of what is not.

    Raises:
        FileNotFoundError: If nothing of another list is there.
        ValueError: If two files could be one video, or two videos are one file.
    """
    index: dict[str, list[str]] = {}
    for path in find_videos(videos):
        index.setdefault(_video_id(path, by_name), []).append(path)
    prefixes = {name: f'videos_{name.split("_")[1]}/' for name in lists}
    if not by_name or not any((videos / prefix).is_dir() for prefix in prefixes.values()):
        prefixes = dict.fromkeys(lists, '')
    kept: ListsByName = {name: [] for name in lists}
    missing: dict[str, list] = {name: [] for name in lists}
    for name, prefix in prefixes.items():
        for path, label, _ in lists[name]:
            video_id, folder = _video_id(path, by_name), osp.dirname(path)
            found: list[str] = []
            for key in [video_id, video_id.rsplit('_', 2)[0]] if by_name else [video_id]:
                found = found or [p for p in index.get(key, ()) if p.startswith(prefix)]
            found = [p for p in found if f'/{folder}/' in '/' + p.replace(' ', '_')] or found
            if len(found) > 1:
                raise ValueError(f'{path} could be both {found[0]} and {found[1]} in {videos}')
            kept[name] += [ListLine(p.removeprefix(prefix), label) for p in found]
            missing[name] += [] if found else [path]
        if kept[name]:
            continue
        if '_test_list_' in name:
            del kept[name]
            continue
        there = next(iter(index.values()), ['no video at all'])[0]
        raise FileNotFoundError(
            f'{videos / prefix} has no video of {name}.txt: looked for '
            f'{lists[name][0].path} with any extension, and in {videos} there is {there}'
        )
    return _checked(kept), missing


def write_lists(
    out: Path, lists: ListsByName, classes: list[str], missing: dict[str, list[str]]
) -> None:
    """Write the lists, ``classes.txt`` and, where videos are missing, their names.

    Raises:
        ValueError: If a name cannot be in a list, before anything is written.
    """
    texts = {f'{name}.txt': format_list(lines) for name, lines in lists.items()}
    texts['classes.txt'] = format_classes(classes)
    for name, paths in missing.items():
        if paths:
            texts[f'{name}_missing.txt'] = ''.join(f'{path}\n' for path in paths)
    for file, text in texts.items():
        write_whole(out / file, text)
    for old in {f'{name}_missing.txt' for name in lists} - texts.keys():
        (out / old).unlink(missing_ok=True)
