"""Which videos decord misreads, by a tool over lists."""

from ..datasets.numbered import turn, write, write_packed
from ..helpers import run_tool


def test_videos_that_decord_misreads_are_named_and_no_others(tmp_path):
    videos = tmp_path / 'videos'
    videos.mkdir()
    write(videos / 'right.mp4', 'libx264', range(75))
    write(videos / 'also right.avi', 'mpeg4', range(75), gop=12)
    write(videos / 'b-frames.avi', 'mpeg4', range(75), gop=12, bf='2')
    write(videos / 'av1.mp4', 'libsvtav1', range(75), preset='12')
    write_packed(videos / 'packed.avi', 75)
    turn(write(videos / 'mirrored.mp4', 'libx264', range(75)), [[-1, 0], [0, 1]])
    names = sorted(path.name for path in videos.iterdir())
    lists = [tmp_path / 'all.txt', tmp_path / 'right.txt']
    lists[0].write_text(''.join(f'{name} 0\n' for name in names))
    lists[1].write_text('right.mp4 0\nalso right.avi 0\n')
    out = tmp_path / 'out'
    result = run_tool('data/list_misread.py', *lists, '--videos', videos, '--out-dir', out)
    assert f'{lists[0]}: 4 of 6 videos are misread' in result.stdout
    assert f'{lists[1]}: 0 of 2 videos are misread\n' in result.stdout
    lines = (out / 'all_misread.txt').read_text().splitlines()
    counts = {line.split('\t')[0]: int(line.split('\t')[1]) for line in lines}
    assert counts.keys() == {'av1.mp4', 'b-frames.avi', 'mirrored.mp4', 'packed.avi'}
    assert all(16 < count <= 192 for count in counts.values())
    assert sorted(path.name for path in out.iterdir()) == ['all_misread.txt']
