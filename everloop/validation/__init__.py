"""Is a dataset version fit to learn from? A Great Expectations suite, defined in code.

``rules`` says what is asked of every row and ``measures`` what is asked of the whole; ``facts`` lays a
dataset out so that both can be asked, ``expectations`` has Great Expectations ask, ``suite`` is the
stage and ``page`` its report.
"""
