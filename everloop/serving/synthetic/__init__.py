"""Jobs for synthetic people: who works on them, beside the requests and at low priority."""
